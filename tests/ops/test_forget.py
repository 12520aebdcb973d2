"""`quarantine forget` on a stack in moto's memory: what goes, what stays, and what is said about the rest."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.hold.writer import HeldMailWriter, HoldMetadata
from ops.operator import Output
from quarantine.held import HoldReason
from tests.functions.faults import Wire
from tests.ops.conftest import Terminal
from tests.world import World, load_event

LOGS = {
    f"{name.title()}LogGroup": f"{name}-logs" for name in ("intake", "report", "hold", "feedback", "digest")
}
BOB, AL = "bob@example.com", "al@example.com"
EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID: str = EVENT["Records"][0]["ses"]["mail"]["messageId"]


@dataclass
class Person:
    """Bob, of whom a stack keeps something."""

    world: World

    @property
    def s3(self) -> Any:
        return self.world.session.client("s3")

    @property
    def bucket(self) -> str:
        return self.world.stack.environ["MAIL_BUCKET"]

    def hold(self, key: str, *recipients: str) -> None:
        """Let a filter leave a mail, and let hold make its rows."""
        self.leave(key, *recipients)
        self.world.hold(*self.world.held_messages())

    def leave(self, key: str, *recipients: str) -> None:
        metadata = {"recipients": ",".join(recipients)}
        self.s3.put_object(Bucket=self.bucket, Key=f"held/{key}", Body=b"Subject: x\n\n", Metadata=metadata)

    def pipe(self, *recipients: str) -> str:
        """Let our own pipe leave a mail, with its tag; return its key."""
        writer = HeldMailWriter(self.s3, self.bucket)
        (key,) = writer.put(b"Subject: x\n\n", HoldMetadata(recipients, HoldReason.SPAM))
        return key

    def ask(self) -> str:
        """Let Bob ask; return the job."""
        self.world.records.put_relay("example.com", "192.0.2.0/24")
        self.world.store_mail(REQUEST_ID, b"From: bob@example.com\n\n")
        assert self.world.intake(EVENT) == {"outcome": "accepted"}
        (job,) = self.world.jobs()
        return job

    def stored(self) -> set[str]:
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])}

    def items(self, table: str) -> list[dict[str, Any]]:
        name = self.world.stack.environ[f"{table}_TABLE"]
        found: list[dict[str, Any]] = self.world.session.client("dynamodb").scan(TableName=name)["Items"]
        return found

    def recipients(self) -> list[str]:
        return sorted(row["recipient"]["S"] for row in self.items("QUARANTINE"))

    def request_ids(self) -> set[str]:
        return {row["request_id"]["S"] for row in self.items("REQUESTS") if "status" in row}


@pytest.fixture
def bob(world: World, terminal: Terminal) -> Person:
    for name in LOGS.values():
        world.session.client("logs").create_log_group(logGroupName=name)
    world.session.client("logs").put_retention_policy(logGroupName="intake-logs", retentionInDays=30)
    cloudformation = world.session.client("cloudformation")
    (stack,) = cloudformation.describe_stacks(StackName="quarantine")["Stacks"]
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in LOGS.items()]
    described = {**stack, "Outputs": [*stack["Outputs"], *outputs]}

    def describe(**_: Any) -> Any:
        return _Ok(), {"Stacks": [described]}

    world.session.events.register_first("before-call.cloudformation.DescribeStacks", describe)
    return Person(world)


class _Ok:
    status_code = 200


def test_everything_of_a_person_goes(bob: Person, terminal: Terminal) -> None:
    bob.hold("one", BOB)
    bob.hold("two", BOB)
    bob.world.report(bob.ask())
    assert bob.stored() == {"held/one", "held/two", f"inbound/{REQUEST_ID}"}
    said = terminal.json("forget", BOB, "--yes")
    assert said["removed"] == {
        "rows": 2,
        "mails": 3,
        "requests": 1,
        "counts": 1,
        "told": 1,
        "auth_records": 0,
    }
    assert (said["shared"], said["incomplete"], said["in_progress"]) == ([], [], [])
    assert (bob.stored(), bob.recipients()) == (set(), [])
    assert all(BOB not in json.dumps(row) for row in bob.items("REQUESTS"))


def test_forgetting_again_removes_nothing_and_succeeds(bob: Person, terminal: Terminal) -> None:
    bob.hold("one", BOB)
    bob.world.report(bob.ask())
    terminal.json("forget", BOB, "--yes")
    assert set(terminal.json("forget", BOB, "--yes")["removed"].values()) == {0}


def test_nobody_else_is_forgotten(bob: Person, terminal: Terminal) -> None:
    bob.hold("bob", BOB)
    bob.hold("al", AL)
    bob.hold("bobby", "bobby@example.com")
    terminal.json("forget", BOB, "--yes")
    assert bob.recipients() == [AL, "bobby@example.com"]
    assert bob.stored() == {"held/al", "held/bobby"}


def test_a_mail_that_is_held_for_others_too_stays_until_their_rows_are_gone(
    bob: Person, terminal: Terminal
) -> None:
    bob.hold("both", BOB, AL)
    said = terminal.json("forget", BOB, "--yes")
    assert (said["removed"]["rows"], said["removed"]["mails"]) == (1, 0)
    assert said["shared"] == ["held/both"]
    assert (bob.recipients(), bob.stored()) == ([AL], {"held/both"})
    assert terminal.json("forget", AL, "--yes")["removed"]["mails"] == 1
    assert (bob.recipients(), bob.stored()) == ([], set())


def test_a_mail_with_a_tag_from_the_start_stays_until_all_are_forgotten(
    bob: Person, terminal: Terminal
) -> None:
    key = bob.pipe(BOB, AL)
    bob.world.hold(*bob.world.held_messages())
    assert terminal.json("forget", BOB, "--yes")["shared"] == [key]
    assert (bob.recipients(), bob.stored()) == ([AL], {key})
    assert terminal.json("forget", AL, "--yes")["removed"]["mails"] == 1
    assert (bob.recipients(), bob.stored()) == ([], set())


def test_a_mail_with_a_tag_from_the_start_waits_for_a_row_that_is_missing(
    bob: Person, terminal: Terminal
) -> None:
    key = bob.pipe(BOB, AL)
    messages = bob.world.held_messages()
    bob.world.records.put_held(BOB, "<1@x>", bob.world.clock.now, "e@x", "Mail", raw_key=key)
    assert terminal("forget", BOB, "--yes") == 4
    assert bob.stored() == {key}
    bob.world.hold(*messages)
    assert terminal("forget", BOB, "--yes") == 0
    assert (bob.recipients(), bob.stored()) == ([AL], {key})


def test_a_key_that_begins_with_another_one_is_another_mail(bob: Person, terminal: Terminal) -> None:
    bob.hold("a", BOB)
    bob.hold("ab", AL)
    terminal.json("forget", BOB, "--yes")
    assert bob.stored() == {"held/ab"}


def test_a_row_that_names_an_object_elsewhere_deletes_none(bob: Person, terminal: Terminal) -> None:
    bob.world.store_mail("x", b"\n")
    bob.world.records.put_held(BOB, "<1@x>", bob.world.clock.now, "e@x", "Mail", raw_key="inbound/x")
    terminal.json("forget", BOB, "--yes")
    assert (bob.stored(), bob.recipients()) == ({"inbound/x"}, [])


def test_all_versions_go(bob: Person, terminal: Terminal) -> None:
    bob.s3.put_bucket_versioning(Bucket=bob.bucket, VersioningConfiguration={"Status": "Enabled"})
    bob.leave("one", BOB)
    bob.hold("one", BOB)
    bob.s3.put_object(Bucket=bob.bucket, Key="held/two", Body=b"\n", Metadata={"recipients": BOB})
    bob.world.hold(*bob.world.held_messages())
    bob.s3.delete_object(Bucket=bob.bucket, Key="held/two")  # leaves a marker and the version
    assert terminal.json("forget", BOB, "--yes")["removed"]["mails"] == 2
    left = bob.s3.list_object_versions(Bucket=bob.bucket)
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


def test_a_mail_of_which_rows_are_missing_waits(bob: Person, terminal: Terminal) -> None:
    """Hold would make Bob's row again when the letter about the other recipient is redriven."""
    bob.hold("some", BOB, "no address")
    assert terminal("forget", BOB, "--yes") == 4
    assert "quarantine redrive --queue held" in terminal.warned
    assert f"aws s3 rm s3://{bob.bucket}/held/some" in terminal.warned
    assert (bob.recipients(), bob.stored()) == ([BOB], {"held/some"})
    bob.s3.delete_object(Bucket=bob.bucket, Key="held/some")
    assert terminal("forget", BOB, "--yes") == 0
    assert bob.recipients() == []


def test_a_request_in_progress_waits(bob: Person, terminal: Terminal) -> None:
    job = bob.ask()
    assert terminal("forget", BOB, "--yes") == 4
    assert "in progress" in terminal.warned
    assert REQUEST_ID in bob.request_ids()
    assert f"inbound/{REQUEST_ID}" in bob.stored()
    bob.world.report(job)
    assert terminal("forget", BOB, "--yes") == 0
    assert (bob.request_ids(), bob.stored()) == (set(), set())


def test_a_run_that_dies_is_finished_by_the_next(bob: Person, terminal: Terminal) -> None:
    bob.hold("one", BOB)
    bob.world.report(bob.ask())
    wire = Wire()
    failure = ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, "DeleteItem")
    wire.fail("dynamodb", "DeleteItem", failure)
    dying = Terminal(type(terminal.operator)(wire.session, "quarantine", clock=bob.world.clock))
    dying.operator.__dict__["stack"] = terminal.operator.stack  # the cached property
    assert dying("forget", BOB, "--yes") == 1
    assert terminal.json("forget", BOB, "--yes")["removed"]["rows"] == 1
    assert (bob.stored(), bob.recipients(), bob.request_ids()) == (set(), [], set())


@pytest.mark.parametrize(
    ("option", "kept"),
    [pytest.param((), True, id="by default"), pytest.param(("--auth-record",), False, id="when asked to")],
)
def test_the_auth_record_stays_unless_it_is_named(
    option: tuple[str, ...], kept: bool, bob: Person, terminal: Terminal
) -> None:
    """It may deny: without it, the person could ask again."""
    bob.world.records.put_auth(BOB, ["dmarc"])
    bob.world.records.put_auth("example.com", ["dmarc"])
    said = terminal.json("forget", BOB, "--yes", *option)
    assert said["removed"]["auth_records"] == (not kept)
    assert {"principal": {"S": "example.com"}}.items() <= bob.items("SENDERS")[-1].items()
    assert (f"auth record of {BOB}" in {each["place"] for each in said["remains"]}) is kept


def remains(said: Any) -> dict[str, str]:
    return {each["place"]: each["until"] for each in said["remains"]}


def test_what_backups_and_logs_keep_is_said_with_its_end(bob: Person, terminal: Terminal) -> None:
    """From the settings that there are, not from those of the template."""
    dynamodb = bob.world.session.client("dynamodb")
    quarantine, requests = (bob.world.stack.environ[f"{name}_TABLE"] for name in ("QUARANTINE", "REQUESTS"))
    for table, days in ((quarantine, 7), (requests, 35)):
        dynamodb.update_continuous_backups(
            TableName=table,
            PointInTimeRecoverySpecification={
                "PointInTimeRecoveryEnabled": True,
                "RecoveryPeriodInDays": days,
            },
        )
    arn = dynamodb.create_backup(TableName=quarantine, BackupName="before")["BackupDetails"]["BackupArn"]
    queue = terminal.operator.name("IntakeFailuresUrl")
    bob.world.session.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    said = remains(terminal.json("forget", BOB, "--yes"))
    assert said == {
        f"point-in-time recovery of {quarantine}": "until 2026-11-30",
        f"point-in-time recovery of {requests}": "until 2026-12-28",
        f"backup before of {quarantine}": f"until: aws dynamodb delete-backup --backup-arn {arn}",
        "log intake-logs": "until 2026-12-23",
        "log report-logs": "for ever: it has no retention",
        "log hold-logs": "for ever: it has no retention",
        "log feedback-logs": "for ever: it has no retention",
        "log digest-logs": "for ever: it has no retention",
        "queue IntakeFailures, if one of its 1 messages is theirs": "until 2026-12-07",
    }


def test_without_recovery_no_backup_is_named(bob: Person, terminal: Terminal) -> None:
    for table in ("QUARANTINE", "REQUESTS"):
        bob.world.session.client("dynamodb").update_continuous_backups(
            TableName=bob.world.stack.environ[f"{table}_TABLE"],
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        )
    assert not any("recovery" in place for place in remains(terminal.json("forget", BOB, "--yes")))


def test_what_may_not_be_looked_at_is_said_and_stops_nothing(bob: Person, terminal: Terminal) -> None:
    def refuse(**_: Any) -> Any:
        return _Refused(), {"Error": {"Code": "AccessDeniedException", "Message": "no"}}

    bob.hold("one", BOB)
    bob.world.session.events.register_first("before-call.cloudwatch-logs.DescribeLogGroups", refuse)
    said = terminal.json("forget", BOB, "--yes")
    assert said["removed"]["rows"] == 1
    assert remains(said)["log hold-logs"] == "not known: AccessDeniedException of DescribeLogGroups"


class _Refused:
    status_code = 400


@pytest.mark.parametrize(
    ("answer", "code"), [pytest.param(True, 0, id="yes"), pytest.param(False, 3, id="no")]
)
def test_a_person_is_asked(
    answer: bool, code: int, bob: Person, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.hold("one", BOB)
    asked: list[str] = []

    def confirm(question: str, *, err: bool) -> bool:
        assert err  # standard output is the answer alone
        asked.append(question)
        return answer

    monkeypatch.setattr("typer.confirm", confirm)
    assert terminal("forget", BOB) == code
    assert asked == [f"Remove of {BOB} for good: 1 rows of held mail, 1 stored mails, 0 requests?"]
    assert bob.recipients() == ([] if answer else [BOB])


def test_the_answer_is_read_line_by_line(bob: Person, terminal: Terminal) -> None:
    bob.hold("both", BOB, AL)
    assert terminal("forget", BOB, "--yes") == 0
    first, second, *rest = terminal.said.splitlines()
    assert first == (
        f"removed of {BOB}: 1 rows of held mail, 0 stored mails, 0 requests, 0 counts,"
        " 0 notes of what was told, 0 auth records"
    )
    assert second == "1 stored mails stay, because they are held for others, too"
    assert all(line.startswith("still kept: ") for line in rest)


def test_an_address_is_needed(bob: Person, terminal: Terminal) -> None:
    assert terminal("forget", "bob", "--yes") == 2
    assert terminal("forget", "--yes", output=Output.JSON) == 2


def test_what_they_were_told_is_forgotten_and_that_others_were_told_of_their_mailbox(
    bob: Person, terminal: Terminal
) -> None:
    bob.world.records.put_relay("example.com", "192.0.2.0/24")
    until = {"until": "2026-11-23T12:00:00.000Z"}
    for reader, told in ((BOB, (BOB,)), (AL, (BOB, AL))):
        row = {"reader": reader, "told": dict.fromkeys(told, until), "proven_at": 1, "wish": "on"}
        bob.world.records.put("MAILBOXES_TABLE", row)
    assert terminal.json("forget", BOB, "--yes")["removed"]["told"] == 2
    (left,) = bob.items("MAILBOXES")
    assert (left["reader"]["S"], list(left["told"]["M"])) == (AL, [AL])


def test_their_own_schedule_stays_and_is_named(bob: Person, terminal: Terminal) -> None:
    bob.world.records.put_digest(BOB, "07:00")
    remains = {each["place"]: each["until"] for each in terminal.json("forget", BOB, "--yes")["remains"]}
    assert remains[f"digest record of {BOB}"] == f"until: quarantine digest remove {BOB}"
