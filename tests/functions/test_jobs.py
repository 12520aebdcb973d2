"""A job is only a pointer: the row that intake wrote decides."""

import json
from typing import Any

import pytest

from tests.functions.test_report import hold, text_of
from tests.world import World, load_event

EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID = EVENT["Records"][0]["ses"]["mail"]["messageId"]
PLANTED = {  # what an attacker with write access to the queue would add
    "request_id": REQUEST_ID,
    "requester": "eve@evil.example",
    "mailboxes": ["alice@example.com", "bob@example.com"],
    "trigger": "manual-report-request@evil.example",
    "received_at": "2026-11-23T11:59:58+00:00",
    "accepted_by": "nobody",
    "utc_offset_minutes": 540,
    "message_id": "<eve@evil.example>",
    "references": ["<more@evil.example>"],
}


@pytest.fixture
def job(world: World) -> str:
    """Bob's accepted request; mail is held for him, for Alice, and for their common sales@."""
    world.records.put_relay("*", "192.0.2.0/24")
    for number, mailbox in enumerate(("bob@example.com", "alice@example.com", "sales@example.com"), 1):
        hold(world, number, mailbox)
    world.intake(EVENT)
    (job,) = world.jobs()
    return job


def mail_and_row(world: World, job: str) -> tuple[list[list[str]], str, dict[str, Any]]:
    """Serve a job; return the resulting envelopes, text and row."""
    assert world.report(job) == []
    (sent,) = world.sent()
    return world.destinations(), text_of(sent), world.row(REQUEST_ID)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"version": 2, "kind": "report"}, id="of this version"),
        pytest.param({"version": 1}, id="of the version before"),
    ],
)
def test_a_planted_job_changes_nothing(world: World, job: str, kind: dict[str, object]) -> None:
    assert json.loads(job)["request_id"] == REQUEST_ID
    destinations, text, row = mail_and_row(world, json.dumps(PLANTED | kind))
    assert destinations == [["bob@example.com"]]
    assert "subject 1" in text
    assert "subject 2" not in text
    assert "evil" not in text
    assert "evil" not in world.sent()[0].decode()
    assert row["status"] == "sent"


def test_a_row_of_the_version_before_is_served_for_the_requesters_own_mailbox(world: World, job: str) -> None:
    table = world.stack.environ["REQUESTS_TABLE"]
    for name in ("command", "asked", "mailboxes"):  # that version did not write them
        world.session.client("dynamodb").update_item(
            TableName=table,
            Key={"request_id": {"S": REQUEST_ID}},
            UpdateExpression="REMOVE #name",
            ExpressionAttributeNames={"#name": name},
        )
    destinations, text, row = mail_and_row(world, json.dumps(PLANTED | {"version": 1}))
    assert destinations == [["bob@example.com"]]
    assert "subject 1" in text
    assert "subject 2" not in text
    assert "manual-report-request@reports.example.com" in text
    assert "evil" not in world.sent()[0].decode()
    assert row["status"] == "sent"


def test_mailboxes_that_the_senders_table_opens_are_in_the_row(world: World) -> None:
    world.records.put_auth("bob@example.com", ["dmarc"], mailboxes=["sales@example.com"])
    world.records.put_relay("*", "192.0.2.0/24")
    for number, mailbox in enumerate(("bob@example.com", "sales@example.com"), 1):
        hold(world, number, mailbox)
    world.intake(EVENT)
    assert sorted(world.row(REQUEST_ID)["mailboxes"]) == ["bob@example.com", "sales@example.com"]
    (job,) = world.jobs()
    _, text, _ = mail_and_row(world, job)
    assert "subject 1" in text
    assert "subject 2" in text


@pytest.mark.parametrize(
    "request_id", ["nobody-asked", "cooldown#bob@example.com"], ids=["no such row", "another item"]
)
def test_a_job_that_names_no_request_fails(world: World, job: str, request_id: str) -> None:
    assert world.report(json.dumps({"version": 2, "kind": "report", "request_id": request_id})) == ["0"]
    assert world.sent() == []


def test_a_request_for_something_else_is_left_alone(world: World, job: str) -> None:
    row = world.records.request(REQUEST_ID)
    assert row is not None
    other = {**row, "command": {"S": "release"}}
    world.session.client("dynamodb").put_item(TableName=world.stack.environ["REQUESTS_TABLE"], Item=other)
    assert world.report(job) == ["0"]
    assert world.records.request(REQUEST_ID) == other


@pytest.mark.parametrize(
    "attribute",
    [
        pytest.param({"requester": {"S": "bob"}}, id="requester"),
        pytest.param({"mailboxes": {"SS": ["alice"]}}, id="mailboxes"),
        pytest.param({"asked": {"M": {"written_to": {"N": "7"}}}}, id="written to"),
        pytest.param({"received_at": {"S": "soon"}}, id="received at"),
    ],
)
def test_a_row_that_cannot_be_read_is_not_guessed(world: World, job: str, attribute: dict[str, Any]) -> None:
    row = world.records.request(REQUEST_ID)
    assert row is not None
    client, table = world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"]
    client.put_item(TableName=table, Item={**row, **attribute})
    assert world.report(job) == ["0"]
    assert world.sent() == []
    assert (world.row(REQUEST_ID)["status"], world.row(REQUEST_ID)["reason"]) == (
        "accepted",
        "UnreadableRequest",
    )
    client.put_item(TableName=table, Item=row)  # somebody fixes it
    assert world.report(job) == []
