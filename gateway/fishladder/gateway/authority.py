"""A certificate authority of a stack's own: agents trust its certificate, and it signs the gateway's. For stacks whose
owner has no certificate from elsewhere. Pure: PEM in and out, files are `stack_files`' business.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_DAYS = 3650
#: No longer: some clients (Apple's) refuse a server's certificate of more than 825 days, whoever signed it.
_SERVER_DAYS = 820
#: A certificate with less than this left is made anew at the next opportunity.
_RENEW_DAYS = 400


class Pair(NamedTuple):
    """A certificate and its private key, both PEM."""

    cert: bytes
    key: bytes


def make_authority(now: datetime) -> Pair:
    """A new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fishladder stack of {now:%Y-%m-%d}")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(name, name, key.public_key(), now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def sign_server(authority: Pair, names: list[str], now: datetime) -> Pair:
    """A certificate for `names` (DNS names or addresses), with its CA's behind it."""
    signer = load_pem_private_key(authority.key, None)
    issuer = x509.load_pem_x509_certificate(authority.cert)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, _SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    made = _pem(certificate, key)
    return Pair(made.cert + authority.cert, made.key)


def fits(cert: bytes, authority: bytes, names: list[str], now: datetime) -> bool:
    """Whether a server's certificate is of that CA, for those names, and good for long enough."""
    found, signer = x509.load_pem_x509_certificate(cert), x509.load_pem_x509_certificate(authority)
    try:
        found.verify_directly_issued_by(signer)
        known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - of another CA, with a broken signature, without names: it does not fit
        return False
    return set(known) == {_name(name) for name in names} and now < found.not_valid_after_utc - timedelta(
        days=_RENEW_DAYS
    )


def fingerprint(cert: bytes) -> str:
    """SHA-256 of a certificate, as browsers and openssl show it."""
    return x509.load_pem_x509_certificate(cert).fingerprint(hashes.SHA256()).hex(":").upper()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    # It begins a day ago: camera hosts' clocks are wrong.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(days=1))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
