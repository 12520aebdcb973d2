"""Writes held mail into the bucket: an object under held/ that names its recipients and the reason.

An object that names both gets its tag at once, so that the hold function need not tag it.
"""

import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypedDict

from botocore.config import Config
from botocore.exceptions import ClientError

from quarantine.held import HoldReason
from quarantine.holding.contract import PREFIX, TAGGED
from quarantine.mail.addresses import Address, InvalidAddress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3 has half a minute for each attempt. The mail server waits longer than all attempts together.
AT_ONCE = 64  # mails; S3 takes a tenth of a second for each
PATIENT = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=AT_ONCE,
)

_LONGEST_METADATA = 2000  # bytes; S3 accepts 2 KB of names and values together, with `tagged`
_LONGEST_SENDER = 300  # characters
_LONGEST_RECIPIENT = 100  # characters of one that is not an address: S3 accepts any characters of that length
_PLAIN = re.compile(rf"[\w.@+-]{{1,{_LONGEST_RECIPIENT}}}", re.ASCII)
_EXISTS = frozenset({"PreconditionFailed", "412"})
_ASK_AGAIN = 3600.0  # seconds after S3 has refused a tag


@dataclass(frozen=True, slots=True)
class HoldMetadata:
    """The metadata of a held mail; an empty value or None is taken from the filters' header fields.

    recipients, score, sender: unchecked text; the hold function reads them strictly.
    """

    recipients: tuple[str, ...] = ()
    reason: HoldReason | None = None
    score: str = ""
    sender: str = ""


class HeldMailWriter:
    """Puts held mails where the hold function finds them. clock: counts seconds."""

    def __init__(self, client: "S3Client", bucket: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._bucket, self._clock = client, bucket, clock
        self._tags_from = clock()  # the policy of an older stack refuses tags

    def put(self, mail: bytes | bytearray, metadata: HoldMetadata) -> tuple[str, ...]:
        """Store a mail and return its keys: several if S3's metadata has no room for all recipients.

        The key is a digest of the mail and its metadata, and an existing object stays unchanged. So retrying
        after a lost response does not create a second copy. Returns when S3 has stored the mail; otherwise
        raises ClientError or BotoCoreError.
        """
        return tuple(self._put(mail, each) for each in object_metadata(metadata))

    def _put(self, mail: bytes | bytearray, metadata: dict[str, str]) -> str:
        digest = sha256(mail)
        for name, value in sorted(metadata.items()):
            digest.update(f"\0{name}\0{value}".encode())
        key = f"{PREFIX}{digest.hexdigest()}"
        if self._clock() >= self._tags_from and _is_complete(metadata):
            try:
                self._store(key, mail, metadata, tag=metadata["reason"])
            except ClientError as e:
                if e.response["Error"]["Code"] != "AccessDenied":
                    raise
                self._tags_from = self._clock() + _ASK_AGAIN
            else:
                return key
        self._store(key, mail, metadata)
        return key

    def _store(
        self, key: str, mail: bytes | bytearray, metadata: Mapping[str, str], *, tag: str | None = None
    ) -> None:
        tagging: _Tagging = {"Tagging": f"reason={tag}"} if tag else {}
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=mail,  # type: ignore[arg-type]  # botocore takes a bytearray, too
                Metadata={**metadata, TAGGED: tag} if tag else metadata,
                IfNoneMatch="*",
                **tagging,
            )
        except ClientError as e:
            if e.response["Error"]["Code"] not in _EXISTS:
                raise


class _Tagging(TypedDict, total=False):
    Tagging: str


def _is_complete(metadata: Mapping[str, str]) -> bool:
    """Return whether hold will make a row for each recipient, and for this reason."""
    recipients = metadata.get("recipients", "")
    return "reason" in metadata and bool(recipients) and all(map(_is_address, recipients.split(",")))


def _is_address(text: str) -> bool:
    try:
        Address.parse(text)
    except InvalidAddress:
        return False
    return True


def object_metadata(metadata: HoldMetadata) -> Iterator[dict[str, str]]:
    """Yield the metadata of each object that is needed to name all recipients."""
    common = {
        "reason": metadata.reason.value if metadata.reason else "",
        "score": _ascii(metadata.score[:_LONGEST_SENDER]),
        "sender": _ascii(metadata.sender[:_LONGEST_SENDER]),
    }
    common = {name: value for name, value in common.items() if value}
    room = _LONGEST_METADATA - sum(len(name) + len(value) for name, value in common.items())
    for some in _fitting(metadata.recipients, room - len("recipients")):
        yield common | ({"recipients": some} if some else {})


def _fitting(recipients: Sequence[str], room: int) -> Iterator[str]:
    """Yield lists of recipients that fit; a recipient that does not fit goes alone, and S3 refuses it."""
    listed = ""
    for recipient in map(_spelled, recipients):
        longer = f"{listed},{recipient}" if listed else recipient
        if listed and len(longer) > room:
            yield listed
            longer = recipient
        listed = longer
    yield listed


def _spelled(recipient: str) -> str:
    """Return an address in its stored spelling; anything else as one list entry that hold will reject."""
    recipient = recipient.strip()
    try:
        return str(Address.parse(recipient))
    except InvalidAddress:
        # A comma, a quote or a cut could turn it into another mailbox; an encoded word is never an address.
        return recipient if _PLAIN.fullmatch(recipient) else _encoded_word(recipient[:_LONGEST_RECIPIENT])


def _ascii(text: str) -> str:
    """Return a text as it fits an HTTP header field; as an encoded word if it does not fit unchanged."""
    text = text.strip()
    return text if text.isascii() and text.isprintable() else _encoded_word(text)


def _encoded_word(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode(errors='replace')).decode()}?="
