from datetime import timedelta

import pytest

from ops.words import ADVICE, AFTER, MEANING, WHAT_NEXT
from quarantine.asking.admission import Accepted, Refusal, Refused
from quarantine.asking.commands import ReportCommand
from quarantine.feedback.event import Sending, SendingEvent
from quarantine.feedback.fate import Fate
from quarantine.feedback.tags import MailKind
from quarantine.mail.addresses import Address
from quarantine.stores.requests import Admitted, Bounce, Limits, Outcome, Requests, RequestStatus
from tests.functions.actions import address, ask, reference, stored
from tests.ops.conftest import Terminal
from tests.world import NOW, World

BOB = Address.parse("bob@example.com")
ALICE = Address.parse("alice@example.com")
EVIDENCE = {
    "from": "Bob <bob@example.com>",
    "envelope_from": "bounce@example.com",
    "recipients": "manual-report-request@reports.example.com",
    "connecting_ip": "192.0.2.10",
    "dkim_domains": "example.com",
    "spam": "PASS",
    "virus": "PASS",
    "spf": "GRAY",
    "dkim": "PASS",
    "dmarc": "FAIL",
}
COOLDOWN = timedelta(minutes=5)


def store(world: World) -> Requests:
    return Requests(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"])


def accept(world: World, request_id: str, requester: Address = BOB, **ago: float) -> None:
    received_at = NOW - timedelta(**ago)
    trigger = Address.parse("manual-report-request@reports.example.com")
    request = Accepted(
        request_id,
        requester,
        (requester,),
        ReportCommand(trigger),
        received_at,
        "dmarc, by the auth record of example.com",
    )
    store(world).accept([request], EVIDENCE, received_at, Limits(COOLDOWN))


def refuse(world: World, request_id: str, refused: Refused, **ago: float) -> None:
    received_at = NOW - timedelta(**ago)
    store(world).refuse(request_id, refused, EVIDENCE, received_at, received_at)


def settle(world: World, request_id: str, outcome: Outcome) -> None:
    store(world).claim_report(request_id, NOW, timedelta(minutes=1))
    store(world).settle(request_id, outcome, NOW)


SAID = ", in the words of SES and of the mail server: 550 user unknown"
SENDING = {
    Fate.DELAYED: Sending.DELAY,
    Fate.DELIVERED: Sending.DELIVERY,
    Fate.COMPLAINED: Sending.COMPLAINT,
    Fate.BOUNCED: Sending.BOUNCE,
    Fate.REJECTED: Sending.REJECT,
}


def note(
    world: World,
    request_id: str,
    kind: Sending,
    mail: MailKind = MailKind.REPORT,
    detail: str = "550 user unknown",
) -> None:
    """Note what SES reports about a mail of a request."""
    at = NOW + timedelta(seconds=3)
    event = SendingEvent(kind, request_id, mail, "ses-1", at, is_permanent=True, detail=detail)
    assert store(world).note_fate(event, NOW)


@pytest.fixture
def asked(world: World) -> None:
    """Put four requests, of two requesters and of an unknown one, and their cooldowns."""
    accept(world, "r-old", days=3)
    accept(world, "r-new", hours=1)
    settle(world, "r-new", Outcome(RequestStatus.SENT, 2, "ses-1"))
    accept(world, "r-alice", ALICE, hours=5)
    refuse(world, "r-nobody", Refused(Refusal.AMBIGUOUS_SENDER, "2 From fields"), minutes=10)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param([], ["r-nobody", "r-new", "r-alice", "r-old"], id="all"),
        pytest.param(["--requester", "Bob@Example.com"], ["r-new", "r-old"], id="requester"),
        pytest.param(["--status", "accepted"], ["r-alice", "r-old"], id="status"),
        pytest.param(["--status", "sent", "--requester", "bob@example.com"], ["r-new"], id="both"),
        pytest.param(["--reason", "ambiguous_sender"], ["r-nobody"], id="reason"),
        pytest.param(["--reason", "not_a_trigger"], [], id="a reason that there is not"),
        pytest.param(["--since", "6h"], ["r-nobody", "r-new", "r-alice"], id="span"),
        pytest.param(["--since", "5h"], ["r-nobody", "r-new", "r-alice"], id="span, its first moment"),
        pytest.param(["--since", "2026-11-23T11:00:00.001Z"], ["r-nobody"], id="time"),
        pytest.param(["--since", "2026-11-23T12:00+01:00"], ["r-nobody", "r-new"], id="time with its offset"),
        pytest.param(["--since", "2026-11-23T11:00"], ["r-nobody", "r-new"], id="time of UTC"),
        pytest.param(["--since", "2d", "--requester", "bob@example.com"], ["r-new"], id="requester since"),
        pytest.param(
            ["--since", "1h", "--requester", "bob@example.com"], ["r-new"], id="requester, its first moment"
        ),
        pytest.param(["--requester", "eve@example.com"], [], id="a stranger"),
    ],
)
def test_what_is_listed(terminal: Terminal, options: list[str], expected: list[str]) -> None:
    assert [row["request_id"] for row in terminal.json("requests", "list", *options)] == expected
    assert terminal.warned == ""


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("who", [[], ["--requester", "bob@example.com"]], ids=["all", "requester"])
def test_the_limit_keeps_the_newest_and_says_that_there_are_more(terminal: Terminal, who: list[str]) -> None:
    rows = terminal.json("requests", "list", *who, "--limit", "1")
    assert [row["request_id"] for row in rows] == ["r-new" if who else "r-nobody"]
    assert "more than these 1" in terminal.warned


@pytest.mark.usefixtures("asked")
def test_the_table_has_a_line_each(terminal: Terminal) -> None:
    assert terminal("requests", "list") == 0
    lines = terminal.said.splitlines()
    assert [line.split()[-1] for line in lines] == ["r-nobody", "r-new", "r-alice", "r-old"]
    assert lines[1].split("\t")[1:5] == ["bob@example.com", "sent", "", "2"]


def test_a_request_whose_time_is_over_is_not_listed(world: World, terminal: Terminal) -> None:
    accept(world, "r-expired", days=31)
    assert terminal.json("requests", "list") == []
    assert terminal.json("requests", "list", "--requester", "bob@example.com") == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param(["--since", "yesterday"], 2, id="no time"),
        pytest.param(["--since", "999999w"], 2, id="before there were years"),
        pytest.param(["--status", "lost"], 2, id="no status"),
        pytest.param(["--limit", "0"], 2, id="no limit"),
        pytest.param(["--requester", "bob@"], 2, id="no address"),
    ],
)
def test_bad_input(terminal: Terminal, options: list[str], code: int) -> None:
    assert terminal("requests", "list", *options) == code


CAME = [
    (
        "It was received on 2026-11-23T11:00:00Z from the IP 192.0.2.10, with From Bob <bob@example.com>"
        " and the envelope sender bounce@example.com, for manual-report-request@reports.example.com."
    ),
    "SES said: spam PASS, virus PASS, spf GRAY, dkim PASS, dmarc FAIL; valid DKIM signatures: example.com.",
]
BY = "Intake accepted it on 2026-11-23T11:00:00Z: dmarc, by the auth record of example.com."


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        pytest.param(
            Outcome(RequestStatus.SENT, 2, "ses-1"),
            "Report finished on 2026-11-23T12:00:00Z: held messages 2, and SES accepted the mail as ses-1.",
            id="sent",
        ),
        pytest.param(
            Outcome(RequestStatus.EMPTY, 0),
            "Report finished on 2026-11-23T12:00:00Z: nothing was held, and no mail was sent.",
            id="empty and silent",
        ),
        pytest.param(
            Outcome(RequestStatus.EMPTY, 0, "ses-2"),
            "Report finished on 2026-11-23T12:00:00Z: nothing was held, and SES accepted the mail that"
            " says so as ses-2.",
            id="empty and told",
        ),
        pytest.param(
            Outcome(RequestStatus.FAILED, 2, reason="MessageRejected: not verified"),
            "Report gave up on 2026-11-23T12:00:00Z: SES will never accept this mail; its error is"
            " MessageRejected: not verified.",
            id="failed",
        ),
    ],
)
def test_a_request_that_report_settled_is_a_story(
    world: World, terminal: Terminal, outcome: Outcome, sentence: str
) -> None:
    accept(world, "r-1", hours=1)
    settle(world, "r-1", outcome)
    status = outcome.status
    assert lines(terminal, "r-1") == [
        f"Request r-1 of bob@example.com: {status}.",
        *CAME,
        BY,
        sentence,
        f"What to do: {WHAT_NEXT[status]}",
    ]


@pytest.mark.parametrize("fate", Fate)
def test_what_became_of_the_mail_is_told_with_what_to_do(
    world: World, terminal: Terminal, fate: Fate
) -> None:
    accept(world, "r-1", hours=1)
    settle(world, "r-1", Outcome(RequestStatus.SENT, 2, "ses-1"))
    note(world, "r-1", SENDING[fate])
    assert lines(terminal, "r-1")[-2:] == [
        f"The mail was {fate} on 2026-11-23T12:00:03Z{SAID}.",
        f"What to do: {AFTER[fate]}",
    ]


def test_each_mail_of_a_request_is_told_of(world: World, terminal: Terminal) -> None:
    accept(world, "r-1", hours=1)
    settle(world, "r-1", Outcome(RequestStatus.SENT, 2, "ses-1"))
    note(world, "r-1", Sending.DELIVERY, detail="")
    note(world, "r-1", Sending.BOUNCE, MailKind.ANSWER)
    store(world).begin_telling("r-1", NOW, timedelta(minutes=1))
    store(world).end_telling("r-1", NOW)
    assert lines(terminal, "r-1")[-4:] == [
        "The mail was delivered on 2026-11-23T12:00:03Z.",
        f"The answer was bounced on 2026-11-23T12:00:03Z{SAID}.",
        "The requester was told on 2026-11-23T12:00:00Z that the message did not arrive.",
        f"What to do: {AFTER[Fate.DELIVERED]}",
    ]


def test_requests_are_listed_by_what_became_of_their_mail(world: World, terminal: Terminal) -> None:
    for request_id, requester in (("r-1", BOB), ("r-2", ALICE)):
        accept(world, request_id, requester, hours=1)
        settle(world, request_id, Outcome(RequestStatus.SENT, 2, "ses-1"))
    note(world, "r-1", Sending.DELIVERY)
    note(world, "r-2", Sending.BOUNCE)
    (row,) = terminal.json("requests", "list", "--delivery", "bounced")
    assert (row["request_id"], row["delivery"]) == ("r-2", "bounced")
    assert terminal("requests", "list", "--requester", "bob@example.com") == 0
    assert terminal.said.split("\t")[2:6] == ["sent", "", "2", "delivered"]


def test_a_request_on_its_way_is_a_story(world: World, terminal: Terminal) -> None:
    accept(world, "r-1", hours=1)
    assert "Report has not started on it." in lines(terminal, "r-1")
    store(world).claim_report("r-1", NOW, timedelta(minutes=1))
    assert "Report is working on it; its lease ends on 2026-11-23T12:01:00Z." in lines(terminal, "r-1")
    store(world).give_back("r-1", "EndpointConnectionError")
    tried = "Report failed with EndpointConnectionError, and will retry."
    assert tried in lines(terminal, "r-1")
    assert lines(terminal, "r-1")[-1] == f"What to do: {WHAT_NEXT[RequestStatus.ACCEPTED]}"


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_is_told_in_words_with_what_to_do(
    world: World, terminal: Terminal, refusal: Refusal
) -> None:
    refuse(world, "r-1", Refused(refusal, "what was seen", BOB), hours=1)
    assert lines(terminal, "r-1") == [
        "Request r-1 of bob@example.com: refused.",
        *CAME,
        f"Intake refused it on 2026-11-23T11:00:00Z as {refusal.value}: {MEANING[refusal]}.",
        "It saw: what was seen.",
        f"What to do: {ADVICE[refusal]}",
    ]


def lines(terminal: Terminal, request_id: str) -> list[str]:
    """Return the story that was printed, one sentence per item, without the terminal's line ends."""
    assert terminal("requests", "show", request_id) == 0, terminal.warned
    marks = (
        "Request ",
        "It ",
        "SES said",
        "Intake ",
        "Report ",
        "Act ",
        "The ",
        "What to do",
        "An ",
        "Delivery ",
        "Feedback ",
    )
    sentences: list[str] = []
    for line in terminal.said.splitlines():
        if line.startswith(marks):
            sentences.append(line)
        else:
            sentences[-1] = f"{sentences[-1].rstrip()} {line}"
    return sentences


@pytest.mark.parametrize("words", [MEANING, ADVICE], ids=["meaning", "advice"])
def test_each_refusal_has_words(words: dict[Refusal, str]) -> None:
    assert set(words) == set(Refusal)
    assert all(words.values())


def test_each_status_has_advice() -> None:
    assert set(WHAT_NEXT) == set(RequestStatus)
    assert all(WHAT_NEXT.values())


def test_each_fate_has_advice() -> None:
    assert set(AFTER) == set(Fate)
    assert all(AFTER.values())


def test_a_script_gets_the_plain_row(world: World, terminal: Terminal) -> None:
    accept(world, "r-1", hours=1)
    settle(world, "r-1", Outcome(RequestStatus.SENT, 2, "ses-1"))
    row = terminal.json("requests", "show", "r-1")
    assert row["evidence"] == EVIDENCE
    assert (row["status"], row["messages"], row["finished_at"]) == ("sent", 2, "2026-11-23T12:00:00.000Z")
    assert row["expires_at"] == int((NOW + timedelta(days=30, hours=-1)).timestamp())


def test_no_text_of_a_sender_reaches_the_terminal_as_it_is(world: World, terminal: Terminal) -> None:
    hostile = "\x1b[2J\u202e[bold]bob\nRequest r-2: sent"
    evidence = {**EVIDENCE, "from": hostile}
    store(world).refuse("r-1", Refused(Refusal.AUTOMATIC, hostile), evidence, NOW, NOW)
    assert terminal("requests", "show", "r-1") == 0
    assert not {"\x1b", "\u202e"} & set(terminal.said)
    assert "[bold]bob Request r-2: sent" in terminal.said
    assert not any(line.startswith("Request r-2") for line in terminal.said.splitlines())


@pytest.mark.parametrize("request_id", ["nowhere", "cooldown#bob@example.com"])
def test_what_is_no_request_says_what_to_try(world: World, terminal: Terminal, request_id: str) -> None:
    accept(world, "r-1")
    assert terminal("requests", "show", request_id) == 1
    assert terminal.warned.startswith(f"error: no request {request_id}")
    assert "quarantine requests list" in terminal.warned
    assert "quarantine why" in terminal.warned


# --- Actions ---


@pytest.fixture
def held(world: World) -> World:
    world.records.put_relay("example.com", "192.0.2.0/24")
    stored(world)
    return world


def shown_reference(world: World) -> str:
    seconds, _, code = str(reference(world)).partition("-")
    return f"{seconds}-{code[:4]}..."


def test_an_action_is_told_as_what_was_asked_and_what_was_done(held: World, terminal: Terminal) -> None:
    jobs = ask(held, address(held, "delete"), message_id="action")
    assert f"It asks for: delete {shown_reference(held)}." in lines(terminal, "action")
    assert "Act has not started on it." in lines(terminal, "action")
    for command in (["show", "action"], ["list"]):
        assert reference(held).code not in str(terminal.json("requests", *command))
    assert held.act(*jobs) == []
    story = lines(terminal, "action")
    assert f"It asks for: delete {shown_reference(held)}, a message of bob@example.com." in story
    assert any(line.startswith("Act finished on ") and ": deleted, and SES" in line for line in story)


def test_what_act_refuses_is_told_as_its_refusal(held: World, terminal: Terminal) -> None:
    held.act(*ask(held, address(held, "release"), message_id="action", sender="carol@example.com"))
    (refused,) = (line for line in lines(terminal, "action") if line.startswith("Act refused it on "))
    assert " as not_yours: " in refused
    assert reference(held).code not in "".join(lines(terminal, "action"))


def test_a_request_that_waits_for_an_agent_says_so(world: World, terminal: Terminal) -> None:
    accept(world, "r-1")
    store(world).claim_report("r-1", NOW, timedelta(minutes=1))
    store(world).wait("r-1", NOW + timedelta(hours=4))
    story = lines(terminal, "r-1")
    assert "An agent is to deliver the message. Act waits for it until 2026-11-23T16:00:00Z." in story
    assert "quarantine doctor" in story[-1]


@pytest.mark.parametrize("is_done", [False, True])
def test_a_delivery_report_says_of_which_release(is_done: bool, world: World, terminal: Terminal) -> None:
    bounce = Bounce("r-2", "r-1", NOW, "5.2.2, smtp; 552 \x1b[2Jmailbox full")
    assert store(world).record_bounce(bounce, EVIDENCE, NOW) == Admitted()
    if is_done:
        store(world).settle_bounce("r-2", NOW)
    story = lines(terminal, "r-2")
    assert story[0] == f"Delivery report r-2: {'done' if is_done else 'accepted'}."
    assert any("the mail of request r-1 did not arrive" in line for line in story)
    assert ("Feedback finished on 2026-11-23T12:00:00Z." in story) == is_done
    assert "\x1b" not in terminal.said


def test_the_requests_about_a_mailbox_are_found_whoever_made_them(held: World, terminal: Terminal) -> None:
    held.records.put_auth("bob@example.com", ["dmarc"], mailboxes=["sales@example.com"])
    stored(held, "sales@example.com", key="held/2")
    held.act(*ask(held, address(held, "delete", "sales@example.com"), message_id="of-sales"))
    held.act(*ask(held, address(held, "delete"), message_id="of-bob"))
    for mailbox, expected in (("sales", "of-sales"), ("bob", "of-bob")):
        found = terminal.json("requests", "list", "--mailbox", f"{mailbox}@example.com")
        assert [row["request_id"] for row in found] == [expected]
