"""Holding: a mail that a filter stored in the bucket becomes a quarantine row for each recipient."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Self, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from quarantine.holding.contract import TAGGED
from quarantine.holding.judging import QuarantinedMail, RejectedObject, Rejection, judge
from quarantine.holding.notification import MalformedNotification, ObjectCreated, parse_notification
from quarantine.mail.addresses import Address
from quarantine.outbox import DeadLetters
from quarantine.runtime import Journal, utc_now
from quarantine.services.scheduling import Scheduling
from quarantine.settings import HoldSettings
from quarantine.stores.mailboxes import Mailboxes
from quarantine.stores.objects import Gone, HeldObjects
from quarantine.stores.quarantine import HeldRows
from quarantine.stores.senders import Senders
from quarantine.threads import Threads

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CALLS_AT_ONCE: Final = 20
"""How many calls of a service a process makes at once: as many connections does each client need."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Handles S3's notifications about objects under held/."""

    settings: HoldSettings
    objects: HeldObjects
    rows: HeldRows
    scheduling: Scheduling
    dead_letters: DeadLetters
    journal: Journal
    clock: Callable[[], datetime]
    threads: Threads

    @classmethod
    def on(
        cls,
        settings: HoldSettings,
        dynamodb: "DynamoDBClient",
        s3: "S3Client",
        sqs: "SQSClient",
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Return the service over these clients."""
        journal = Journal("hold", "HeldMails", settings.stack)
        return cls(
            settings,
            HeldObjects(s3, settings.mail_bucket),
            HeldRows(dynamodb, settings.quarantine_table),
            Scheduling(
                Senders(dynamodb, settings.senders_table, journal.unreadable),
                Mailboxes(dynamodb, settings.mailboxes_table, journal.unreadable),
                settings.reports_domain,
            ),
            DeadLetters(sqs, settings.dead_letters_url),
            journal,
            clock,
            Threads(CALLS_AT_ONCE - 1),  # beside the caller's
        )

    def handle(self, body: str) -> None:
        """Handle one message of the queue: hold or reject each object that it names."""
        try:
            objects = parse_notification(body)
        except MalformedNotification as e:
            self._reject(body, None, RejectedObject(Rejection.NOT_A_NOTIFICATION, str(e)))
            return
        for each in objects:
            self._serve(each)

    def give_up(self, body: str) -> None:
        """Let the objects of a message be kept longest: it failed so often that SQS sets it aside.

        Does nothing where that fails, too: they are then kept as long as the reasons in their tags say.
        """
        try:
            for each in parse_notification(body):
                mail = self.objects.read(each.key)
                if mail.tags and TAGGED in mail.metadata:
                    self.objects.untag(each.key)
        except (MalformedNotification, Gone):
            return
        except (BotoCoreError, ClientError) as e:
            self.journal.retry("the tag stays", e)

    def _serve(self, created: ObjectCreated) -> None:
        try:
            mail = self.objects.read(created.key)
        except Gone:
            self.journal.record("gone", "gone", key=created.key)
            return
        if mail.is_folder:
            self.journal.record("folder", "folder", key=created.key)
            return
        if mail.is_imported:
            self.journal.record("imported", "imported", key=created.key)
            return
        decision = judge(mail, self.settings.families)
        match decision:
            case QuarantinedMail():
                self._hold(decision)
                rejected = decision.unreadable  # last: retrying a row must not add a second dead letter
            case RejectedObject():
                rejected = decision
            case _:
                assert_never(decision)
        if rejected:
            if mail.tags:
                self.objects.untag(created.key)  # before the dead letter, which may be the last that is done
            self._reject(json.dumps({"Records": [created.record]}), created.key, rejected)

    def _hold(self, mail: QuarantinedMail) -> None:
        expires_at = mail.received_at + self.settings.retention[mail.reason]
        put = partial(self._put, mail=mail, expires_at=expires_at, noted_at=self.clock())
        are_new = self.threads.map(put, mail.recipients)
        # Last: an object without a tag is kept longest, so a row never outlives its mail. It also stays
        # without a tag while a recipient has no row.
        needs_tag = mail.unreadable is None and not mail.is_tagged
        if needs_tag and not self.objects.tag(mail.raw_key, mail.reason):
            self.journal.note("deleted meanwhile", key=mail.raw_key)
        self.journal.record(
            "held",
            "held",
            key=mail.raw_key,
            recipients=[str(recipient) for recipient in mail.recipients],
            message_id=mail.shown.message_id,
            reason=mail.reason.value,
            rows=sum(are_new),  # fewer than the recipients if the object was handled before
        )

    def _put(
        self, recipient: Address, mail: QuarantinedMail, expires_at: datetime, noted_at: datetime
    ) -> bool:
        """Put the row of a recipient, and make them due, also if a process died in between."""
        is_new = self.rows.put(recipient, mail, expires_at, noted_at)
        self.scheduling.note_held(recipient, noted_at)
        return is_new

    def _reject(self, body: str, key: str | None, rejected: RejectedObject) -> None:
        self.dead_letters.put(body, rejected)
        self.journal.dead_letter()
        self.journal.record(rejected.reason.value, rejected.reason.value, key=key, detail=rejected.detail)
