"""What SES reports about a mail becomes a value, and anything else an error."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.feedback.event import MalformedSendingEvent, Sending, SendingEvent, parse_sending_event
from quarantine.feedback.tags import MailKind
from tests.world import load_event

SET = "quarantine"
REQUEST = "v5mwjeef78rkc6ql4z4l59xxtrv910qutckbkzsk"
MESSAGE = "0100019ab12f3c4d-61b59c11-9236-11e6-8f96-7be8aexample-000000"
AT = datetime(2026, 11, 23, 12, 0, 3, 512000, UTC)
NOTED = datetime(2026, 11, 23, 12, 0, 4, tzinfo=UTC)  # by EventBridge

EVENTS = {
    "delivery": (Sending.DELIVERY, MailKind.REPORT, AT, False, "250 2.0.0 Ok: queued as 4F1x2y"),
    "delay": (
        Sending.DELAY,
        MailKind.REPORT,
        AT,
        False,
        "TransientCommunicationFailure, smtp; 421 4.4.1 Connection timed out",
    ),
    "bounce_permanent": (
        Sending.BOUNCE,
        MailKind.REPORT,
        AT,
        True,
        "Permanent General, smtp; 550 5.1.1 user unknown",
    ),
    "bounce_content_rejected": (
        Sending.BOUNCE,
        MailKind.RELEASE,
        AT,
        True,  # SES calls it transient, because another mail might be accepted
        "Transient ContentRejected, smtp; 554 5.7.1 Message rejected as spam",
    ),
    "bounce_transient": (Sending.BOUNCE, MailKind.REPORT, AT, False, "Transient General"),
    "complaint": (Sending.COMPLAINT, MailKind.REPORT, AT, False, "abuse"),
    "reject": (Sending.REJECT, MailKind.RELEASE, NOTED, True, "Bad content"),
}
"""Each file `events/sending_NAME.json`, and what is read from it."""


def sending(name: str) -> dict[str, Any]:
    return load_event(f"sending_{name}")


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_read(name: str) -> None:
    kind, mail, at, is_permanent, detail = EVENTS[name]
    expected = SendingEvent(kind, REQUEST, mail, MESSAGE, at, is_permanent, detail)
    assert expected == parse_sending_event(json.dumps(sending(name)), SET)


def test_every_kind_of_event_has_a_file() -> None:
    assert set(Sending) == {kind for kind, *_ in EVENTS.values()}


@pytest.mark.parametrize(
    ("bounce", "is_permanent"),
    [
        pytest.param(("Permanent", "NoEmail"), True, id="no such mailbox"),
        pytest.param(("Permanent", "OnAccountSuppressionList"), True, id="suppressed by the account"),
        pytest.param(("Transient", "MailboxFull"), True, id="full: SES tried for hours and gave up"),
        pytest.param(("Transient", "MessageTooLarge"), True, id="too large"),
        pytest.param(("Transient", "AttachmentRejected"), True, id="its attachment is refused"),
        pytest.param(("Transient", "General"), False, id="also an out-of-office reply"),
        pytest.param(("Undetermined", "Undetermined"), False, id="SES could not tell"),
        pytest.param((None, None), False, id="SES did not say"),
    ],
)
def test_which_bounces_say_that_the_mail_did_not_arrive(
    bounce: tuple[str | None, str | None], is_permanent: bool
) -> None:
    event = sending("bounce_permanent")
    event["detail"]["bounce"]["bounceType"], event["detail"]["bounce"]["bounceSubType"] = bounce
    assert is_permanent is parse_sending_event(json.dumps(event), SET).is_permanent


def test_a_servers_answer_is_cleaned_and_cut() -> None:
    event = sending("bounce_permanent")
    hostile = "smtp; 550\r\n\x1b[2J\u202eRequest r-2: delivered " + 10_000 * "x"
    event["detail"]["bounce"]["bouncedRecipients"][0]["diagnosticCode"] = hostile
    detail = parse_sending_event(json.dumps(event), SET).detail
    assert detail.startswith("Permanent General, smtp; 550 [2JRequest r-2: delivered xxx")
    assert detail.isprintable()
    assert len(detail) < 300


type Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda event: event.update(source="my.app"), "not an event of SES", id="not of SES"),
        pytest.param(lambda event: event["detail"].update(eventType="Open"), "not an event", id="an open"),
        pytest.param(
            lambda event: event["detail"].update(eventType="Rendering Failure"),
            "not an event",
            id="a template",
        ),
        pytest.param(lambda event: event["detail"].pop("mail"), "not an event", id="no mail"),
        pytest.param(lambda event: event["detail"]["mail"].pop("tags"), "not an event", id="no tags"),
        pytest.param(
            lambda event: event["detail"]["mail"]["tags"].update({"ses:configuration-set": ["other"]}),
            "another configuration set",
            id="another set",
        ),
        pytest.param(
            lambda event: event["detail"]["mail"]["tags"].pop("request"), "tag request", id="no request"
        ),
        pytest.param(
            lambda event: event["detail"]["mail"]["tags"].update(request=["a", "b"]),
            "tag request",
            id="two requests",
        ),
        pytest.param(
            lambda event: event["detail"]["mail"]["tags"].update(mail=["newsletter"]),
            "not our tags",
            id="another kind of mail",
        ),
        pytest.param(lambda event: event["detail"].update(delivery="yes"), "not an object", id="no delivery"),
        pytest.param(
            lambda event: event["detail"]["delivery"].update(timestamp="soon"), "not a time", id="no time"
        ),
        pytest.param(
            lambda event: event["detail"]["delivery"].update(timestamp=7), "not a time", id="a number"
        ),
    ],
)
def test_what_is_not_an_event_about_our_mail_is_an_error(change: Change, said: str) -> None:
    event = sending("delivery")
    change(event)
    with pytest.raises(MalformedSendingEvent, match=said):
        parse_sending_event(json.dumps(event), SET)


@pytest.mark.parametrize("body", ["", "x", "[]", "null", '{"source": "aws.ses"}', "[" * 100_000])
def test_what_is_no_event_at_all(body: str) -> None:
    with pytest.raises(MalformedSendingEvent):
        parse_sending_event(body, SET)


@pytest.mark.parametrize("name", EVENTS)
def test_a_part_that_says_nothing_is_read(name: str) -> None:
    event = sending(name)
    kind = Sending(event["detail"]["eventType"])
    del event["detail"][kind[0].lower() + kind[1:]]
    read = parse_sending_event(json.dumps(event), SET)
    assert (kind, NOTED, "") == (read.kind, read.at, read.detail)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(EVENTS)), JSON, st.data())
def test_any_value_anywhere_is_read_or_is_an_error(name: str, value: object, data: st.DataObject) -> None:
    event = sending(name)
    place: Any = event
    while isinstance(place, dict) and place:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    try:
        read = parse_sending_event(json.dumps(event), SET)
    except MalformedSendingEvent:
        return
    assert read.detail.isprintable()
