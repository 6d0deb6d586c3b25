"""Redis as Debian ships it, memory only, with a plain and a TLS port."""

import shutil
from pathlib import Path

from tests.servers import certificates
from tests.servers.process import Program, free_port

USER, PASSWORD = "gateway", "correct-horse"


class RedisServer(Program):
    """``port`` speaks plainly, ``tls_port`` with a certificate of ``certificates``. The default user may do all; ``USER`` needs ``PASSWORD``."""

    def __init__(self, folder: Path) -> None:
        self.tls_port = free_port()
        self.certificates = certificates.make(folder)
        port = free_port()
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "dir": folder,
            "save": "",
            "appendonly": "no",
            "tls-port": self.tls_port,
            "tls-cert-file": self.certificates.chain,
            "tls-key-file": self.certificates.key,
            "tls-ca-cert-file": self.certificates.authority,
            "tls-auth-clients": "optional",
        }
        program = shutil.which("redis-server") or "redis-server"
        command = [program, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        user = ["--user", USER, "on", f">{PASSWORD}", "~*", "+@all"]
        super().__init__([*command, *user], port=port, folder=folder, also=(self.tls_port,))
