"""A mail that carries a released message, as its reader gets it."""

from email import message_from_bytes, policy
from email.message import EmailMessage


def reread(mail: EmailMessage) -> EmailMessage:
    """Return the mail as it is after the wire."""
    read = message_from_bytes(mail.as_bytes(policy=policy.SMTP), policy=policy.SMTP)
    assert isinstance(read, EmailMessage)
    return read


def text(mail: EmailMessage, subtype: str = "plain") -> str:
    body = reread(mail).get_body((subtype,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def attached(mail: EmailMessage) -> bytes:
    """Return the bytes of the attachment."""
    raw = mail.as_bytes(policy=policy.SMTP)
    part = reread(mail).get_payload(1)
    assert isinstance(part, EmailMessage)
    if part["Content-Transfer-Encoding"] == "base64":
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        return data
    # Not by a parser: it would write the message in its own way.
    delimiter = b"\r\n--" + str(mail.get_boundary()).encode()
    before, _, end = raw.rpartition(delimiter)
    assert end == b"--\r\n"
    return before.rpartition(delimiter + b"\r\n")[2].partition(b"\r\n\r\n")[2]
