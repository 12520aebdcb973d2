"""Mail to the address that reports come from: bounces, automatic replies, answers of people."""

import json
from typing import Any

import pytest

from tests.world import World, load_event

SENDER = "quarantine@reports.example.com"


def written_to(*recipients: str, name: str = "refused_not_a_trigger") -> tuple[str, dict[str, Any]]:
    """Return an event with these envelope recipients, and the id of its mail."""
    event = load_event(name)
    ses = event["Records"][0]["ses"]
    ses["mail"]["destination"] = ses["receipt"]["recipients"] = [*recipients]
    return ses["mail"]["messageId"], event


@pytest.mark.parametrize(
    "name",
    ["refused_automatic_bounce", "refused_automatic_out_of_office", "accepted_relay_ipv4"],
    ids=["a bounce", "out of office", "a person's answer"],
)
@pytest.mark.parametrize("sender", [SENDER, SENDER.title()], ids=["as it is", "in capitals"])
def test_an_operator_can_find_it(world: World, name: str, sender: str) -> None:
    message_id, event = written_to(sender, name=name)
    for _ in range(2):  # SES may deliver an event twice
        assert world.intake(event)["outcome"] in {"not_a_trigger", "refused"}
    row = world.row(message_id)
    assert (row["status"], row["reason"]) == ("refused", "not_a_trigger")
    assert row["detail"] == "it was written to the sender of the reports"
    assert row["evidence"]["recipients"] == {"S": sender}
    assert (world.jobs(), world.sent()) == ([], [])


def test_it_counts_towards_a_flood(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.intake(written_to(SENDER)[1])
    counts = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [count["RefusedRequests"] for count in counts if "RefusedRequests" in count] == [[1.0]]


@pytest.mark.parametrize(
    "recipient",
    ["sales@reports.example.com", "quarantine@elsewhere.example", "quarantine", "", "@reports.example.com"],
)
def test_mail_to_any_other_address_has_no_row(world: World, recipient: str) -> None:
    message_id, event = written_to(recipient)
    assert world.intake(event) == {"outcome": "not_a_trigger"}
    assert world.row(message_id) == {}


def test_a_request_that_also_goes_to_the_sender_is_a_request(world: World) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    _, event = written_to(SENDER, "manual-report-request@reports.example.com", name="accepted_relay_ipv4")
    assert world.intake(event) == {"outcome": "accepted"}
