"""Certificates of machines: each signs its own, and knows those of the others. There is no authority above them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

OWN, SECRET, OTHERS = "tls.crt", "tls.key", "others.crt"
"""Files in a machine's folder."""
VALID = timedelta(days=30)


def write_certificates(folders: dict[str, Path]) -> None:
    """Make a certificate for each machine, and tell each about the others. Secret keys are for their owner's eyes."""
    made = {name: _certificate(name, folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        (folder / OTHERS).write_bytes(b"".join(each for other, each in sorted(made.items()) if other != name))


def _certificate(name: str, folder: Path) -> bytes:
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALID).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )  # fmt: skip
    secret = folder / SECRET
    secret.touch(mode=0o600)
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem = certificate.public_bytes(Encoding.PEM)
    (folder / OWN).write_bytes(pem)
    return pem
