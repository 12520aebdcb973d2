"""`quarantine forget`: removes what is kept of a person, and says where the rest is and until when."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.text import Text

from ops import arguments
from ops.exits import PARTLY
from ops.operator import Declined, Operator, Output
from quarantine.acting.asks import Ask
from quarantine.holding.contract import PREFIX as HELD
from quarantine.mail.addresses import Address
from quarantine.mail.escaping import escaped_lines
from quarantine.stores.items import Values
from quarantine.stores.objects import StoredMails
from quarantine.stores.requests import RequestStatus, raw_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_IN_PROGRESS = frozenset({RequestStatus.ACCEPTED, RequestStatus.SENDING})
_PITR_DAYS = 35  # what DynamoDB keeps if a table does not say otherwise


@dataclass(frozen=True, slots=True)
class Plan:
    """What is kept of a person, and what of it can be removed now.

    rows: of held mail. mails: the keys of stored mails that only these rows and requests use. shared: mails
    that rows of others use, too. requests: their ids. incomplete: held mails of which some rows are missing.
    in_progress: the ids of requests whose report is not sent yet. asks: that they made, or of their mailbox.
    """

    rows: Sequence[Values]
    mails: Sequence[str]
    shared: Sequence[str]
    requests: Sequence[str]
    incomplete: Sequence[str]
    in_progress: Sequence[str]
    asks: Sequence[Ask]


@dataclass(frozen=True, slots=True)
class Remainder:
    """A place that keeps something for longer. until: a time, or in words."""

    place: str
    until: str


def forget(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Whom to forget.", metavar="ADDRESS")],
    auth_record: Annotated[
        bool, typer.Option("--auth-record", help="Also the auth record of the address, even one that denies.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a person's held mail, requests and counts, and say what backups and logs still keep.

    A stored mail that is held for others, too, stays until their rows are gone. Exits with 4 if something
    must wait: a request whose report is not sent yet, or a held mail of which some rows are missing.
    """
    operator: Operator = context.obj
    whom = arguments.address(address)
    mails = StoredMails(operator.client("s3"), operator.name("MailBucketName"))
    with operator.err.status("looking"):
        plan = _plan(operator, mails, whom)
    if not yes:
        question = f"Remove of {whom} for good: {_counted(plan)}?"
        if not typer.confirm(question, err=True):
            raise Declined(f"nothing of {whom} was removed")
    removed = _remove(operator, mails, whom, plan, auth_record=auth_record)
    with operator.err.status("looking at backups and logs"):
        remainders = list(_remainders(operator, whom, auth_record=auth_record))
    _show(operator, whom, plan, removed, remainders)
    if plan.incomplete or plan.in_progress:
        raise typer.Exit(PARTLY)


def _plan(operator: Operator, mails: StoredMails, whom: Address) -> Plan:
    rows = list(operator.held_rows.rows_of(whom))
    keys = {row["raw_key"] for row in rows if str(row.get("raw_key", "")).startswith(HELD)}
    others = operator.held_rows.others_of(whom, keys) if keys else {}
    incomplete = {key for key in keys if not mails.is_complete(key, {str(whom), *others.get(key, ())})}
    requests = list(operator.requests.of_requester(whom, None))
    in_progress = [row["request_id"] for row in requests if row.get("status") in _IN_PROGRESS]
    settled = [row["request_id"] for row in requests if row.get("status") not in _IN_PROGRESS]
    asked = {raw_key(each) for each in settled} - {raw_key(each) for each in in_progress}
    return Plan(
        rows=[row for row in rows if row.get("raw_key") not in incomplete],
        mails=sorted((keys - others.keys() - incomplete) | asked),
        shared=sorted(keys & others.keys() - incomplete),
        requests=settled,
        incomplete=sorted(incomplete),
        in_progress=in_progress,
        asks=[ask for ask in operator.asks.all() if whom in {ask.asker, ask.mailbox}],
    )


def _counted(plan: Plan) -> str:
    return (
        f"{len(plan.rows)} rows of held mail, {len(plan.mails)} stored mails, {len(plan.requests)} requests"
    )


@dataclass(frozen=True, slots=True)
class Removed:
    """How many of each were removed."""

    rows: int
    mails: int
    requests: int
    counts: int
    told: int
    auth_records: int


def _remove(
    operator: Operator, mails: StoredMails, whom: Address, plan: Plan, *, auth_record: bool
) -> Removed:
    """Remove the mails first: without its row, nothing would name a mail that is left."""
    for key in plan.shared:
        mails.keep_complete(key)
    count = sum(map(mails.delete, plan.mails))
    for row in plan.rows:
        operator.held_rows.remove(row)
    for request_id in plan.requests:
        operator.requests.remove(request_id)
    for ask in plan.asks:
        operator.asks.remove(ask)
    return Removed(
        rows=len(plan.rows),
        mails=count,
        requests=len(plan.requests) + len(plan.asks),
        counts=int(not plan.in_progress and operator.requests.remove_count(whom)),
        told=_forget_told(operator, whom),
        auth_records=int(auth_record and operator.sender_records.remove_auth(str(whom))),
    )


def _forget_told(operator: Operator, whom: Address) -> int:
    """Remove what the person was told and wants, and that others were told of their mailbox."""
    readers = list(operator.mailboxes.readers_told_of(whom))
    for reader in readers:
        operator.mailboxes.forget_mailbox(reader, whom)
    return operator.mailboxes.remove(whom) + len(readers)


# --- What is left elsewhere ---


def _remainders(operator: Operator, whom: Address, *, auth_record: bool) -> Iterator[Remainder]:
    """Yield what keeps something of the person, from the settings that the stack has now."""
    tables = [
        "QuarantineTableName",
        "RequestsTableName",
        "MailboxesTableName",
        *(["SendersTableName"] if auth_record else []),
    ]
    logs = ("IntakeLogGroup", "ReportLogGroup", "HoldLogGroup", "FeedbackLogGroup", "DigestLogGroup")
    queues = ("IntakeFailuresUrl", "HeldDeadLettersUrl", "JobsDeadLettersUrl", "FeedbackDeadLettersUrl")
    looks = (
        *((f"backups of {name}", partial(_backups, operator, name)) for name in map(operator.name, tables)),
        *((f"log {name}", partial(_log, operator, name)) for name in map(operator.name, logs)),
        *((f"queue {name.removesuffix('Url')}", partial(_queue, operator, name)) for name in queues),
        ("auth records", partial(_records, operator, whom)),
        ("digest records", partial(_schedules, operator, whom)),
    )
    for place, look in looks:
        try:
            yield from look()
        except ClientError as e:
            code = e.response["Error"].get("Code", "error")
            yield Remainder(place, f"not known: {code} of {e.operation_name}")


def _backups(operator: Operator, table: str) -> Iterator[Remainder]:
    dynamodb: DynamoDBClient = operator.dynamodb
    found = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery: dict[str, Any] = {**found.get("PointInTimeRecoveryDescription", {})}
    if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
        days = int(recovery.get("RecoveryPeriodInDays", _PITR_DAYS))
        yield Remainder(f"point-in-time recovery of {table}", _day(operator.clock() + timedelta(days=days)))
    for page in dynamodb.get_paginator("list_backups").paginate(TableName=table, BackupType="ALL"):
        for backup in page.get("BackupSummaries", []):
            expires = backup.get("BackupExpiryDateTime")
            arn = backup["BackupArn"]
            until = _day(expires) if expires else f"until: aws dynamodb delete-backup --backup-arn {arn}"
            yield Remainder(f"backup {backup['BackupName']} of {table}", until)


def _log(operator: Operator, name: str) -> Iterator[Remainder]:
    groups = operator.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    for group in groups:
        if group["logGroupName"] == name:
            days = group.get("retentionInDays")
            until = _day(operator.clock() + timedelta(days=days)) if days else "for ever: it has no retention"
            yield Remainder(f"log {name}", until)


def _queue(operator: Operator, output: str) -> Iterator[Remainder]:
    sqs: SQSClient = operator.client("sqs")
    attributes = sqs.get_queue_attributes(
        QueueUrl=operator.name(output),
        AttributeNames=["ApproximateNumberOfMessages", "MessageRetentionPeriod"],
    )["Attributes"]
    if count := int(attributes["ApproximateNumberOfMessages"]):
        kept = timedelta(seconds=int(attributes["MessageRetentionPeriod"]))
        place = f"queue {output.removesuffix('Url')}, if one of its {count} messages is theirs"
        yield Remainder(place, _day(operator.clock() + kept))


def _records(operator: Operator, whom: Address) -> Iterator[Remainder]:
    for record in operator.sender_records.auth_records():
        principal = record["principal"]
        if principal == str(whom):
            yield Remainder(f"auth record of {whom}", f"until: quarantine auth remove {whom}")
        elif str(whom) in record.get("mailboxes", ()):
            yield Remainder(f"auth record of {principal}, which opens {whom} to it", "until you change it")
        elif str(whom) in record.get("administrators", ()):
            place = f"auth record of {principal}, whose administrator they are"
            yield Remainder(place, f"until: quarantine auth administrators remove {principal} {whom}")


def _schedules(operator: Operator, whom: Address) -> Iterator[Remainder]:
    for record in operator.sender_records.digest_records():
        if record["principal"] == str(whom):
            yield Remainder(f"digest record of {whom}", f"until: quarantine digest remove {whom}")


def _day(time: datetime) -> str:
    return f"until {time:%Y-%m-%d}"


# --- Output ---


def _show(
    operator: Operator, whom: Address, plan: Plan, removed: Removed, remainders: Sequence[Remainder]
) -> None:
    if operator.output is Output.JSON:
        operator.say(
            "",
            address=str(whom),
            removed=asdict(removed),
            shared=plan.shared,
            incomplete=plan.incomplete,
            in_progress=plan.in_progress,
            remains=[asdict(each) for each in remainders],
        )
        return
    counted = ", ".join(f"{count} {_WORDS[name]}" for name, count in asdict(removed).items())
    lines = [f"removed of {whom}: {counted}"]
    if plan.shared:
        lines.append(f"{len(plan.shared)} stored mails stay, because they are held for others, too")
    lines += (f"still kept: {each.place}, {each.until}" for each in remainders)
    for line in lines:
        operator.out.print(Text(escaped_lines(line)), soft_wrap=True)
    if plan.in_progress:
        operator.warn(
            f"{len(plan.in_progress)} requests are in progress and stay: try again in an hour,"
            " or after quarantine redrive if their jobs are dead letters"
        )
    if plan.incomplete:
        operator.warn(
            f"{len(plan.incomplete)} held mails stay: rows of them are missing, and hold would make all of"
            " them again. Try again after quarantine redrive --queue held, or delete each mail first:"
        )
        for key in plan.incomplete:
            operator.warn(f"aws s3 rm {shlex.quote(f's3://{operator.name("MailBucketName")}/{key}')}")


_WORDS = {
    "rows": "rows of held mail",
    "mails": "stored mails",
    "requests": "requests",
    "counts": "counts",
    "told": "notes of what was told",
    "auth_records": "auth records",
}
