"""The mail bucket: requests under inbound/, where SES stores them, and held mail under held/."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypedDict

from botocore.exceptions import ClientError

from quarantine.held import HoldReason
from quarantine.holding.contract import IMPORTED, PREFIX, TAGGED
from quarantine.holding.judging import StoredMail
from quarantine.mail.lenient import end_of_header

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import TagTypeDef

_COMPLETE: Final = "complete"
"""The tag of a mail that was stored with its tag, of which all rows were made and some were removed."""

_START: Final = 32 * 1024  # bytes of a mail that are read first: nearly always the whole header section
_LONGEST_HEADER: Final = 1024 * 1024


class InboundObjects:
    """The raw mails that the receipt rule's S3 action stored. connect: a function that makes the client."""

    def __init__(self, connect: "Callable[[], S3Client]", bucket: str) -> None:
        self._connect, self._bucket = connect, bucket

    @cached_property
    def _client(self) -> "S3Client":
        # Made for the first mail whose header SES cut off. Most processes never see one and save its time.
        return self._connect()

    def start_of(self, message_id: str) -> bytes:
        """Return the first megabyte of a mail, which holds its header section."""
        response = self._client.get_object(
            Bucket=self._bucket, Key=f"inbound/{message_id}", Range=f"bytes=0-{_LONGEST_HEADER - 1}"
        )
        return response["Body"].read()


class Gone(RuntimeError):
    """The object no longer exists: it was deleted or released."""


class Changed(RuntimeError):
    """The object is no longer the one that was judged."""


class _Condition(TypedDict, total=False):
    IfMatch: str


def _if_match(etag: str | None) -> _Condition:
    return {"IfMatch": etag} if etag else {}


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Raise Gone or Changed for S3's answers that say so; a HEAD has only a number."""
    try:
        yield
    except ClientError as e:
        match e.response["Error"]["Code"]:
            case "NoSuchKey" | "404":
                raise Gone(key) from e
            case "PreconditionFailed" | "412":
                raise Changed(key) from e
        raise


class HeldObjects:
    """The mails that filters stored under held/."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def read(self, key: str) -> StoredMail:
        """Read an object up to the end of its header section, at most a megabyte. Raises Gone."""
        mail = self._read(key, _START)
        if len(mail.start) < mail.size and end_of_header(mail.start) is None:
            return self._read(key, _LONGEST_HEADER)
        return mail

    def _read(self, key: str, length: int) -> StoredMail:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{length - 1}")
        except ClientError as e:
            match e.response["Error"]["Code"]:
                case "NoSuchKey":
                    raise Gone(key) from e
                case "InvalidRange":  # S3's answer to any range of an empty object
                    return self._empty(key)
            raise
        with found["Body"] as body:
            start = body.read()
        size = int(found.get("ContentRange", "").rpartition("/")[2] or len(start))  # bytes 0-99/1234
        tags = found.get("TagCount", 0)
        return StoredMail(key, found["Metadata"], start, size, found["LastModified"], found["ETag"], tags)

    def _empty(self, key: str) -> StoredMail:
        head = self._client.head_object(Bucket=self._bucket, Key=key)
        return StoredMail(key, head["Metadata"], b"", 0, head["LastModified"], head["ETag"])

    def whole(self, key: str, etag: str | None) -> bytes:
        """Return all of an object. etag: of the bytes that were judged; None for a row that does not say.

        Raises Gone, and Changed if the object was overwritten since.
        """
        with _named(key):
            found = self._client.get_object(Bucket=self._bucket, Key=key, **_if_match(etag))
        with found["Body"] as body:
            return body.read()

    def check(self, key: str, etag: str | None) -> None:
        """Do as `whole`, and read nothing."""
        with _named(key):
            self._client.head_object(Bucket=self._bucket, Key=key, **_if_match(etag))

    def tag(self, key: str, reason: HoldReason) -> bool:
        """Tag an object with its reason, from which the bucket's lifecycle rules know how long to keep it.

        Return whether the object still exists.
        """
        try:
            self._client.put_object_tagging(
                Bucket=self._bucket, Key=key, Tagging={"TagSet": [{"Key": "reason", "Value": reason.value}]}
            )
        except self._client.exceptions.NoSuchKey:
            return False
        return True

    def untag(self, key: str) -> None:
        """Remove the tags of an object, so that it is kept longest."""
        try:
            self._client.delete_object_tagging(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    etag: str


class ImportedObjects:
    """The mails that an operator imports, under held/ as those of filters are; hold makes no row of them."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def put(self, digest: str, mail: bytes) -> StoredObject:
        """Store a mail, once for all its recipients. digest: of its bytes, 64 characters."""
        key = f"{PREFIX}import-{digest}"
        try:
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=mail,
                Metadata={IMPORTED: "yes"},
                Tagging="reason=imported",  # of no lifecycle rule but the longest
                IfNoneMatch="*",
            )
        except ClientError as e:
            if e.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
                raise
            return StoredObject(key, self._client.head_object(Bucket=self._bucket, Key=key)["ETag"])
        return StoredObject(key, answer["ETag"])


class StoredMails:
    """All mails of the bucket, for an operator who deletes some. No function may delete a mail."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    @cached_property
    def has_versions(self) -> bool:
        """Whether the bucket keeps, or ever kept, older versions of its objects."""
        return "Status" in self._client.get_bucket_versioning(Bucket=self._bucket)

    def is_complete(self, key: str, mailboxes: Collection[str]) -> bool:
        """Return whether all rows of a held mail were made, or the mail is gone. mailboxes: those with a row.

        Hold tags a mail last. A mail that was stored with its tag names all its recipients.
        """
        try:
            tags, metadata = self._tags(key), self._metadata(key)
        except ClientError as e:
            # A deleted object of a bucket with versions has a marker, which has no tags (405).
            if e.response["Error"]["Code"] in ("NoSuchKey", "MethodNotAllowed", "404", "405"):
                return True
            raise
        if TAGGED not in metadata or _COMPLETE in tags:
            return "reason" in tags
        return set(metadata.get("recipients", "").split(",")) <= set(mailboxes)

    def keep_complete(self, key: str) -> None:
        """Note that all rows of a mail were made, before one of them is removed."""
        tags = self._tags(key)
        if TAGGED in self._metadata(key) and _COMPLETE not in tags:
            given: list[TagTypeDef] = [
                {"Key": name, "Value": value} for name, value in {**tags, _COMPLETE: "yes"}.items()
            ]
            self._client.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": given})

    def _tags(self, key: str) -> dict[str, str]:
        found = self._client.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def _metadata(self, key: str) -> dict[str, str]:
        return self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"]

    def delete(self, key: str) -> bool:
        """Delete a mail with all its versions; return whether there was any."""
        versions = [*self._versions(key)]
        for version in versions:
            self._client.delete_object(Bucket=self._bucket, Key=key, **version)
        return bool(versions)

    def _versions(self, key: str) -> "Iterator[_Version]":
        """Yield what names each version of an object, as arguments of a deletion."""
        if not self.has_versions:
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
            if any(each["Key"] == key for each in found.get("Contents", [])):
                yield {}
            return
        for page in self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=key
        ):
            for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                if each["Key"] == key:
                    yield {"VersionId": each["VersionId"]}


class _Version(TypedDict, total=False):
    VersionId: str
