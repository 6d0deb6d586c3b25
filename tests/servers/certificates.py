"""An authority of our own, and a certificate of it for 127.0.0.1 and localhost."""

import datetime
import ipaddress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Certificates(msgspec.Struct, frozen=True):
    """PEM files: the authority's certificate; a server's chain, its key, and both in one file; a client's chain and key."""

    authority: Path
    chain: Path
    key: Path
    both: Path
    client_chain: Path
    client_key: Path


def make(folder: Path) -> Certificates:
    """Valid from yesterday to tomorrow."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test authority", root_key, signer=root_key, issuer="Test authority", authority=True)
    server_key, server = _leaf("localhost", root_key)
    client_key, client = _leaf("gateway", root_key)
    files = {
        "authority.pem": _pem(root),
        "chain.pem": _pem(server),
        "key.pem": _key_pem(server_key),
        "both.pem": _key_pem(server_key) + _pem(server),
        "client_chain.pem": _pem(client),
        "client_key.pem": _key_pem(client_key),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Certificates(*(folder / name for name in files))


def _leaf(name: str, root_key: ec.EllipticCurvePrivateKey) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate(name, key, signer=root_key, issuer="Test authority", authority=False)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, signer: ec.EllipticCurvePrivateKey, issuer: str, authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
