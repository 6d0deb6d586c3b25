"""TLS towards brokers and mail servers, as the endpoint's ``auth`` has it."""

import ssl
import tempfile

from gateway.destination import Auth, Endpoint
from gateway.errors import ConfigError


def context(auth: Auth, *, place: str) -> ssl.SSLContext:
    """Certificates are always checked: against ``auth.authority`` if there is one, else against the public ones. With ``mtls`` ours is shown.

    ConfigError when a file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=auth.authority or None)
        if auth.kind == "mtls":
            _show(made, auth)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"its certificates cannot be used: {error}",
            place=place,
            remedy="auth.authority and auth.certificate are PEM files, auth.password the PEM of the key",
        ) from error
    return made


def _show(made: ssl.SSLContext, auth: Auth) -> None:
    # OpenSSL reads a private key from a file only. This one is readable by us alone, and gone when the block is left.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:
        key.write(auth.password.reveal() if auth.password else "")
        key.flush()
        made.load_cert_chain(auth.certificate, key.name)


def credentials(end: Endpoint, *, encrypted: bool) -> tuple[str, str] | None:
    """User name and password of ``basic``, None without. ConfigError for a kind of ``auth`` that brokers and mail servers do not know."""
    auth = end.auth
    place = f"endpoints.{end.name}.auth"
    if auth.kind not in ("none", "basic", "mtls"):
        raise ConfigError(
            f"{end.kind.value} endpoints do not know {auth.kind}", place=place, remedy="use none, basic or mtls"
        )
    if auth.kind == "mtls" and not encrypted:
        raise ConfigError(
            "a certificate can only be shown over TLS", place=place, remedy="kafkas://, rediss://, smtps://"
        )
    if auth.kind != "basic":
        return None
    if auth.password is None:
        raise ConfigError("basic needs a password", place=place)
    return auth.username, auth.password.reveal()
