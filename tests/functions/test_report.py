"""What report sends and counts, and what it does if SES refuses a mail."""

import re
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.functions.faults import Wire
from tests.world import World, load_event

EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID = EVENT["Records"][0]["ses"]["mail"]["messageId"]


@pytest.fixture
def job(world: World) -> str:
    """Bob's accepted request."""
    world.records.put_relay("*", "192.0.2.0/24")
    world.intake(EVENT)
    (job,) = world.jobs()
    return job


def hold(world: World, number: int, recipient: str = "bob@example.com", **over: object) -> None:
    """Hold a message that came `number` minutes ago."""
    received_at = world.clock.now - timedelta(minutes=number)
    world.records.put_held(
        recipient, f"<{number}@x>", received_at, "a@b.example", f"subject {number}.", **over
    )


def text_of(raw: bytes) -> str:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def only_mail(world: World) -> str:
    (raw,) = world.sent()
    return text_of(raw)


def test_bob_gets_what_is_held_for_bob(world: World, job: str) -> None:
    hold(world, 1)
    hold(world, 2, recipient="alice@example.com")
    assert world.report(job) == []
    (raw,) = world.sent()
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["To"] == "bob@example.com"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["X-Quarantine-Report"] == REQUEST_ID
    assert "subject 1." in text_of(raw)
    assert "subject 2." not in text_of(raw)
    row = world.row(REQUEST_ID)
    assert (row["status"], row["messages"], row["requester"]) == ("sent", "1", "bob@example.com")
    assert row["ses_message_id"]
    assert row["finished_at"] == "2026-11-23T12:00:00.000Z"
    assert "lease_until" not in row


@pytest.mark.parametrize(
    ("over", "actions"),
    [
        pytest.param({}, ["preview", "release", "delete"], id="all"),
        pytest.param({"reason": "phishing"}, ["preview", "delete"], id="a reason that is not releasable"),
        pytest.param({"status": "releasing", "lease_until": 4102444800}, [], id="on its way"),
        pytest.param({"status": "releasing"}, ["preview", "release", "delete"], id="a lease that is over"),
        pytest.param({"code": "UPPER"}, [], id="no code"),
    ],
)
def test_a_report_offers_what_the_stack_allows(
    world: World, job: str, over: dict[str, Any], actions: list[str]
) -> None:
    stored: dict[str, Any] = {"code": "abcdefghijklmnop", "raw_key": "held/1"}
    hold(world, 1, **stored | over)
    world.report(job)
    reference = f"{int(world.clock.now.timestamp()) - 60}-abcdefghijklmnop"
    found = re.findall(r"(?m)^ {6}\w+: +(\w+-[0-9]\S+)\r?$", only_mail(world))
    assert found == [f"{action}-{reference}@reports.example.com" for action in actions]


def test_newest_first(world: World, job: str) -> None:
    for number in (3, 1, 2):
        hold(world, number)
    world.report(job)
    text = only_mail(world)
    assert text.index("subject 1.") < text.index("subject 2.") < text.index("subject 3.")


@pytest.mark.parametrize(
    "over",
    [
        pytest.param({"status": "released"}, id="released"),
        pytest.param({"status": "deleted"}, id="deleted"),
        pytest.param({"expires_at": 1}, id="expired: TTL deletes late"),
    ],
)
def test_what_is_held_no_more_is_left_out(world: World, job: str, over: dict[str, Any]) -> None:
    hold(world, 1, **over)
    hold(world, 2)
    world.report(job)
    assert "subject 1." not in only_mail(world)
    assert world.row(REQUEST_ID)["messages"] == "1"


def test_what_has_an_unreadable_expiry_hides_nothing_else(world: World, job: str) -> None:
    hold(world, 1, expires_at="1999999999")
    hold(world, 2)
    assert world.report(job) == []
    assert "subject 2." in only_mail(world)


def test_what_never_expires_is_listed(world: World, job: str) -> None:
    item = {"recipient": "bob@example.com", "entry": "2026-11-23T11:00:00Z#<1@x>", "message_id": "<1@x>"}
    held = {"received_at": "2026-11-23T11:00:00Z", "subject": "kept", "reason": "spam", "status": "held"}
    world.records.put("QUARANTINE_TABLE", item | held)
    world.report(job)
    assert "kept" in only_mail(world)


def test_the_count_is_honest_beyond_the_rows(world: World, job: str) -> None:
    for number in range(1, 13):
        hold(world, number)
    world.report(job, MAX_ROWS="5")
    text = only_mail(world)
    assert text.count("subject ") == 5
    assert "12" in text
    assert "subject 5." in text
    assert "subject 6." not in text
    assert world.row(REQUEST_ID)["messages"] == "12"


def test_a_mailbox_of_many_pages_is_counted_up_to_the_first(world: World, job: str) -> None:
    for number in range(250):
        hold(world, number, status="held" if number % 2 == 0 else "released")
    world.report(job, MAX_ROWS="10")
    assert world.row(REQUEST_ID)["messages"] == "100"
    text = only_mail(world)
    assert text.count("subject ") == 10
    assert "Showing the newest 10 of 100 or more messages." in text


def test_held_messages_behind_pages_of_released_ones_are_found(world: World, job: str) -> None:
    for number in range(250):
        hold(world, number, status="released")
    hold(world, 500)
    world.report(job, MAX_ROWS="10")
    assert "subject 500." in only_mail(world)


def test_shared_mailboxes_are_merged_newest_first(world: World) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("bob@example.com", ["dmarc"], mailboxes=["sales@example.com"])
    world.intake(EVENT)
    hold(world, 1)
    hold(world, 2, recipient="sales@example.com")
    hold(world, 3)
    hold(world, 4, recipient="boss@example.com")
    world.report(*world.jobs(), MAX_ROWS="2")
    text = only_mail(world)
    assert text.index("subject 1.") < text.index("subject 2.")
    assert "subject 3." not in text
    assert "subject 4." not in text
    assert world.row(REQUEST_ID)["messages"] == "3"


def test_nothing_held_is_silence(world: World, job: str) -> None:
    assert world.report(job) == []
    assert world.sent() == []
    assert world.row(REQUEST_ID)["status"] == "empty"


def test_nothing_held_is_said_when_that_is_set(world: World, job: str) -> None:
    assert world.report(job, WHEN_EMPTY="reply") == []
    (raw,) = world.sent()
    assert message_from_bytes(raw)["To"] == "bob@example.com"
    row = world.row(REQUEST_ID)
    assert (row["status"], row["messages"]) == ("empty", "0")
    assert row["ses_message_id"]


def test_reply_to_is_set_when_a_human_answers(world: World, job: str) -> None:
    hold(world, 1)
    world.report(job, REPLY_TO="help@example.com")
    (raw,) = world.sent()
    assert message_from_bytes(raw)["Reply-To"] == "help@example.com"


@pytest.mark.parametrize("name", ["", "reports"])
def test_ses_is_told_the_configuration_set(world: World, job: str, name: str) -> None:
    hold(world, 1)
    asked: list[Any] = []
    wire = Wire()
    wire.session.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: asked.append(params)
    )
    world.report(job, session=wire.session, CONFIGURATION_SET=name)
    assert [params.get("ConfigurationSetName", "") for params in asked] == [name]


def ses_error(code: str, status: int = 400) -> ClientError:
    details = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(details, "SendEmail")  # type: ignore[arg-type]  # the rest of the metadata is not read


@pytest.mark.parametrize(
    "code", ["MessageRejected", "MailFromDomainNotVerifiedException", "BadRequestException"]
)
def test_what_ses_will_never_take_is_given_up(world: World, job: str, code: str) -> None:
    hold(world, 1)
    wire = Wire()
    wire.fail("sesv2", "SendEmail", ses_error(code))
    assert world.report(job, session=wire.session) == []
    row = world.row(REQUEST_ID)
    assert (row["status"], row["reason"], row["messages"]) == ("failed", f"{code}: no", "1")
    assert "lease_until" not in row


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ses_error("TooManyRequestsException", 429), id="throttled"),
        pytest.param(ses_error("LimitExceededException"), id="quota used up"),
        pytest.param(ses_error("SendingPausedException"), id="sending paused"),
        pytest.param(ses_error("AccountSuspendedException"), id="account suspended"),
        pytest.param(ses_error("NotFoundException", 404), id="no such configuration set"),
        pytest.param(ses_error("AccessDeniedException", 403), id="not allowed"),
        pytest.param(ses_error("InternalFailure", 500), id="server error"),
        pytest.param(ses_error("AnErrorOfTomorrow"), id="an error that we do not know"),
        pytest.param(EndpointConnectionError(endpoint_url="x"), id="no network"),
        pytest.param(ConnectTimeoutError(endpoint_url="x"), id="no connection"),
        pytest.param(ReadTimeoutError(endpoint_url="x"), id="no answer"),
    ],
)
def test_what_may_pass_is_tried_again(world: World, job: str, error: Exception) -> None:
    hold(world, 1)
    wire = Wire()
    wire.fail("sesv2", "SendEmail", error)
    assert world.report(job, session=wire.session) == ["0"]
    assert wire.calls.count(("sesv2", "SendEmail")) == 1
    row = world.row(REQUEST_ID)
    assert (row["status"], row["reason"]) == ("accepted", type(error).__name__)
    assert world.report(job) == []
    assert len(world.sent()) == 1
    row = world.row(REQUEST_ID)
    assert row["status"] == "sent"
    assert "reason" not in row


def test_a_lost_answer_of_ses_is_not_asked_for_again_by_botocore(world: World, job: str) -> None:
    """SES may have accepted the mail: only SQS retries, where each attempt is visible and counted."""
    hold(world, 1)
    wire, attempts = Wire(), []

    def lose(**_: object) -> None:
        attempts.append(1)
        raise ReadTimeoutError(endpoint_url="x")

    wire.session.events.register_first("before-send.sesv2.SendEmail", lose)
    assert world.report(job, session=wire.session) == ["0"]
    assert len(attempts) == 1
    assert world.row(REQUEST_ID)["status"] == "accepted"


def test_a_table_that_cannot_be_read_is_tried_again(world: World, job: str) -> None:
    hold(world, 1)
    wire = Wire()
    wire.fail("dynamodb", "Query", ses_error("ProvisionedThroughputExceededException"))
    assert world.report(job, session=wire.session) == ["0"]
    assert world.row(REQUEST_ID)["status"] == "accepted"
    assert world.report(job) == []


def test_a_defect_of_ours_leaves_the_row_true(
    world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(world, 1)
    with monkeypatch.context() as broken:
        broken.setattr("quarantine.services.reporting.render", lambda *_, **__: 1 / 0)
        assert world.report(job) == ["0"]
    row = world.row(REQUEST_ID)
    assert (row["status"], row["reason"]) == ("accepted", "ZeroDivisionError")
    assert world.report(job) == []


def test_the_report_goes_to_the_requester_alone(world: World, job: str) -> None:
    """The envelope has one address, regardless of the mail's header."""
    hold(world, 1)
    world.report(job)
    assert world.destinations() == [["bob@example.com"]]
