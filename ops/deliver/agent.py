"""The agent: it takes a pointer, fetches the mail, hands it over, and says what became of it.

It deletes a pointer last. If it dies at any moment, the pointer comes back. Only a death between the server's
yes and the result delivers a mail twice: act deletes the pointer, too, when it has the result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from ops.deliver.target import Target
from quarantine.release.deliverable import deliverable
from quarantine.release.handover import Envelope, Reply
from quarantine.release.pointer import MalformedPointer, Pointer, Result, fault_of
from quarantine.release.wire import UnsafeMail, WireMail, wire_mail
from quarantine.stores.objects import Changed, Gone, HeldObjects

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_AGAIN: Final = 120  # seconds until a mail is tried again that the server did not take
_REFUSED: Final = 554  # RFC 5321 4.2.3


@dataclass(frozen=True, slots=True)
class Agent:
    """bucket, domains: it follows no pointer to another. wait: for a pointer, in seconds, at most 20.

    say: gets a line about each pointer.
    """

    sqs: "SQSClient"
    mails: HeldObjects
    bucket: str
    releases_url: str
    results_url: str
    domains: frozenset[str]
    target: Target
    wait: int
    clock: Callable[[], datetime]
    say: Callable[[str], None]

    def serve_next(self) -> bool:
        """Wait for a pointer and follow it; return whether one came. Raises errors of botocore."""
        messages = self.sqs.receive_message(
            QueueUrl=self.releases_url, MaxNumberOfMessages=1, WaitTimeSeconds=self.wait
        ).get("Messages", [])
        for message in messages:
            self._serve(message)
        return bool(messages)

    def _serve(self, message: "MessageTypeDef") -> None:
        try:
            pointer = Pointer.from_json(message["Body"])
        except MalformedPointer as e:
            self._refuse_malformed(message, e)
            return
        fault = fault_of(pointer, self.bucket, self.domains, self.clock())
        if fault is not None:
            self._finish(message, pointer.request_id, Reply(_REFUSED, fault))
            return
        try:
            raw = self.mails.whole(pointer.key, pointer.etag)
            mail = wire_mail(deliverable(raw, pointer.families, pointer.trace))
        except (Gone, Changed) as e:
            said = "is gone" if isinstance(e, Gone) else "is not the one that was judged"
            self._finish(message, pointer.request_id, Reply(_REFUSED, f"the stored mail {said}"))
        except UnsafeMail as e:
            self._finish(message, pointer.request_id, Reply(_REFUSED, str(e)))
        else:
            self._deliver(message, pointer, mail)

    def _deliver(self, message: "MessageTypeDef", pointer: Pointer, mail: WireMail) -> None:
        reply = self.target.deliver(Envelope(pointer.sender, pointer.recipient), mail)
        if reply.is_accepted or reply.is_final:
            self._finish(message, pointer.request_id, reply, is_repaired=mail.is_repaired)
            return
        self.say(f"{pointer.request_id}: not taken, tried again in {_AGAIN} seconds: {reply}")
        self.sqs.change_message_visibility(
            QueueUrl=self.releases_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=_AGAIN
        )

    def _finish(
        self, message: "MessageTypeDef", request_id: str, reply: Reply, *, is_repaired: bool = False
    ) -> None:
        result = Result(request_id, reply.code, reply.text, is_repaired, message["ReceiptHandle"])
        self.sqs.send_message(QueueUrl=self.results_url, MessageBody=result.to_json())
        self._delete(message)
        self.say(f"{request_id}: {reply}")

    def _refuse_malformed(self, message: "MessageTypeDef", error: MalformedPointer) -> None:
        if error.request_id is not None:
            self._finish(message, error.request_id, Reply(_REFUSED, f"not a pointer: {error}"))
            return
        self.say(f"not a pointer, deleted: {error}")
        self._delete(message)

    def _delete(self, message: "MessageTypeDef") -> None:
        try:
            self.sqs.delete_message(QueueUrl=self.releases_url, ReceiptHandle=message["ReceiptHandle"])
        except ClientError as e:  # act deletes it, too
            self.say(f"the pointer could not be deleted: {e}")
