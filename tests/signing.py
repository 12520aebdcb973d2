"""DKIM signatures of a domain that exists only here, made and verified with dkimpy."""

import base64
import functools

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

DOMAIN, SELECTOR = "supplier.example", "mail"


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - short, because each run makes a new one


def signed(mail: bytes, *, names: tuple[bytes, ...], canonical: bytes = b"relaxed") -> bytes:
    """Return the mail with a signature on top. names: of the fields in `h=`, also absent or repeated."""
    private = _key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signature: bytes = dkim.sign(
        mail,
        SELECTOR.encode(),
        DOMAIN.encode(),
        private,
        canonicalize=(canonical,) * 2,
        include_headers=names,
    )
    return signature + mail


def verifies(mail: bytes) -> bool:
    """Return whether the topmost signature verifies; nothing is looked up."""
    return bool(dkim.verify(mail, dnsfunc=_published))


def _published(name: bytes, timeout: int = 5) -> bytes | None:
    if name.rstrip(b".") != f"{SELECTOR}._domainkey.{DOMAIN}".encode():
        return None
    key = _key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(key)
