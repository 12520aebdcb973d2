"""The bucket, for who holds mail: an object under held/ that says whose it is and why."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import ClientError

from quarantine.held import HoldReason
from quarantine.holding.notification import PREFIX
from quarantine.mail.addresses import Address, InvalidAddress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3 has half a minute for each attempt, and the mail server gives us longer than all of them.
PATIENT = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})

_LONGEST_METADATA = 2000  # bytes; S3 takes 2 KB of names and values together
_LONGEST_SENDER = 300  # characters
_LONGEST_RECIPIENT = 100  # characters of one that is no address: whatever they are, S3 takes it
_PLAIN = re.compile(rf"[\w.@+-]{{1,{_LONGEST_RECIPIENT}}}", re.ASCII)
_EXISTS = frozenset({"PreconditionFailed", "412"})


@dataclass(frozen=True, slots=True)
class HoldMetadata:
    """What is told of a mail beside its bytes; what is empty or None is left to the header fields of filters.

    recipients, score, sender: as somebody wrote them: the hold function reads them, strictly.
    """

    recipients: tuple[str, ...] = ()
    reason: HoldReason | None = None
    score: str = ""
    sender: str = ""


class HeldMailWriter:
    """Puts held mails where the hold function finds them."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def put(self, mail: bytes, told: HoldMetadata) -> tuple[str, ...]:
        """Store a mail and return its keys: several when S3's metadata has no room for all recipients.

        Its key is made of what is stored, and an object that is there stays: who tries again, because the
        answer was lost, holds the mail once. Returns when S3 has it, else raises ClientError, BotoCoreError.
        """
        return tuple(self._put(mail, metadata) for metadata in _metadata(told))

    def _put(self, mail: bytes, metadata: dict[str, str]) -> str:
        digest = sha256(mail)
        for name, value in sorted(metadata.items()):
            digest.update(f"\0{name}\0{value}".encode())
        key = f"{PREFIX}{digest.hexdigest()}"
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=mail, Metadata=metadata, IfNoneMatch="*"
            )
        except ClientError as e:
            if e.response["Error"]["Code"] not in _EXISTS:
                raise
        return key


def _metadata(told: HoldMetadata) -> Iterator[dict[str, str]]:
    """Yield the metadata of each object that is needed for all recipients."""
    common = {
        "reason": told.reason.value if told.reason else "",
        "score": _ascii(told.score[:_LONGEST_SENDER]),
        "sender": _ascii(told.sender[:_LONGEST_SENDER]),
    }
    common = {name: value for name, value in common.items() if value}
    room = _LONGEST_METADATA - sum(len(name) + len(value) for name, value in common.items())
    for some in _fitting(told.recipients, room - len("recipients")):
        yield common | ({"recipients": some} if some else {})


def _fitting(recipients: Sequence[str], room: int) -> Iterator[str]:
    """Yield lists of recipients that have room; one that has none for itself goes alone, and S3 says no."""
    listed = ""
    for recipient in map(_spelled, recipients):
        longer = f"{listed},{recipient}" if listed else recipient
        if listed and len(longer) > room:
            yield listed
            longer = recipient
        listed = longer
    yield listed


def _spelled(recipient: str) -> str:
    """Return an address as it is stored; what is none so that it is one of the list, for hold to reject."""
    recipient = recipient.strip()
    try:
        return str(Address.parse(recipient))
    except InvalidAddress:
        # A comma, a quote or what is cut off could make another mailbox of it; an encoded word is never one.
        return recipient if _PLAIN.fullmatch(recipient) else _encoded_word(recipient[:_LONGEST_RECIPIENT])


def _ascii(text: str) -> str:
    """Return a text as a header field of HTTP can have it; one that cannot be in it as an encoded word."""
    text = text.strip()
    return text if text.isascii() and text.isprintable() else _encoded_word(text)


def _encoded_word(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode(errors='replace')).decode()}?="
