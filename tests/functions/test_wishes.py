"""digest-on and digest-off: what readers say about scheduled reports, for themselves."""

import pytest

from quarantine.mail.addresses import Address
from tests.functions.actions import BOB, CAROL, DOMAIN, ask, asking, mails, text_of
from tests.functions.faults import ProcessDied, Wire
from tests.functions.test_digest import NEW, company, hold, prove, reader, seven, tick
from tests.world import World

__all__ = ["company"]
ON, OFF = f"digest-on@{DOMAIN}", f"Digest-Off@{DOMAIN}"


def write(world: World, address: str, message_id: str, sender: str = BOB) -> list[str]:
    """Let a person write to an address, and act answer; return the Subjects of the answers."""
    before = len(world.sent())
    assert world.act(*ask(world, address, message_id=message_id, sender=sender)) == []
    return [str(mail["Subject"]) for mail in mails(world)[before:]]


def test_who_wants_no_reports_gets_none_and_is_told_how_to_undo_it(company: World) -> None:
    prove(company)
    assert write(company, OFF, "m1") == ["Scheduled reports no longer come to you"]
    (mail,) = mails(company)
    assert mail["To"] == BOB
    assert f"\ndigest-on@{DOMAIN}" in text_of(mail).replace("  ", "")
    html = mail.get_body(("html",))
    assert html is not None
    assert f'href="mailto:digest-on@{DOMAIN}"' in html.get_content()
    hold(company)
    seven(company)
    assert tick(company) == []


def test_who_wants_them_again_is_told_when_and_gets_what_was_held_meanwhile(company: World) -> None:
    prove(company)
    write(company, OFF, "m1")
    hold(company)
    seven(company)
    assert tick(company) == []
    company.clock.move(minutes=1)
    assert write(company, ON, "m2") == ["Scheduled reports come to you"]
    text = " ".join(text_of(mails(company)[-1]).split())
    assert "07:00 (UTC)" in text
    assert f"digest-off@{DOMAIN}" in text
    seven(company)
    assert tick(company) == [NEW]


def test_off_is_answered_once(company: World) -> None:
    assert len(write(company, OFF, "m1")) == 1
    company.clock.move(minutes=1)
    assert write(company, OFF, "m2") == []
    assert company.row("m2")["answer"] == "digest_off_before"
    assert company.row("m2")["command"] == "digest-off"


def test_an_older_mail_that_comes_later_changes_nothing(company: World) -> None:
    off = asking(company, OFF, message_id="m1")
    company.clock.move(minutes=1)
    write(company, ON, "m2")
    company.intake(off)
    assert company.act(*company.actions()) == []
    assert reader(company)["wish"] == "on"


def test_a_wish_is_for_oneself(company: World) -> None:
    prove(company)
    prove(company, CAROL, message_id="carols")
    write(company, OFF, "m1", sender=CAROL)
    hold(company)
    seven(company)
    assert tick(company) == [NEW]


def test_a_wish_of_a_stranger_is_none(company: World) -> None:
    event = asking(company, OFF)
    for header in event["Records"][0]["ses"]["mail"]["headers"]:
        header["value"] = header["value"].replace("192.0.2.10", "198.51.100.7")
    assert company.intake(event) == {"outcome": "unauthenticated"}
    assert reader(company) == {}


@pytest.mark.parametrize(
    ("address", "sender", "answer"),
    [
        (None, BOB, "There are no scheduled reports here"),
        (BOB, BOB, "Scheduled reports are switched off"),
    ],
    ids=["no schedule", "switched off"],
)
def test_who_wants_them_where_there_are_none_is_told_so(
    world: World, address: str | None, sender: str, answer: str
) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    if address is not None:
        world.records.put_digest("example.com", "07:00")
        world.records.put_digest(address)
    assert write(world, ON, "m1", sender) == [answer]
    assert "due_at" not in reader(world)


def test_a_wish_proves_the_address_and_writes_no_record_of_the_administrator(company: World) -> None:
    client = company.session.client("dynamodb")
    table = company.stack.environ["SENDERS_TABLE"]
    before = client.scan(TableName=table)["Items"]
    write(company, ON, "m1")
    assert client.scan(TableName=table)["Items"] == before
    hold(company)
    seven(company)
    assert tick(company) == [NEW]


def test_who_was_denied_meanwhile_is_not_answered(company: World) -> None:
    jobs = ask(company, OFF)
    company.records.put_auth(BOB, deny=True)
    assert company.act(*jobs) == []
    assert mails(company) == []
    assert "wish" not in reader(company)


def test_a_mail_of_yesterday_is_too_late(company: World) -> None:
    jobs = ask(company, OFF)
    company.clock.move(hours=25)
    assert company.act(*jobs) == []
    assert [mail["Subject"] for mail in mails(company)] == ["Your mail reached us too late"]
    assert "wish" not in reader(company)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("where", ["before", "after"])
def test_act_dies_and_the_job_comes_again(company: World, where: str, place: int) -> None:
    jobs = ask(company, OFF)
    wire = Wire()
    (wire.die_before if where == "before" else wire.die_after)(place)
    with pytest.raises(ProcessDied):
        company.act(*jobs, session=wire.session)
    company.clock.move(minutes=10)
    assert company.act(*jobs) == []
    is_twice = (where, place) in {("after", 3), ("before", 4)}  # SES took it, and nothing says so
    assert len(mails(company)) == (2 if is_twice else 1)
    assert reader(company)["wish"] == "off"


def test_the_button_of_a_mail_program_is_a_mail_like_any_other(company: World) -> None:
    """It has a Subject of its own, and no text."""
    event = asking(company, OFF)
    for header in event["Records"][0]["ses"]["mail"]["headers"]:
        if header["name"] == "Subject":
            header["value"] = "unsubscribe"
    assert company.intake(event) == {"outcome": "accepted"}
    assert company.act(*company.actions()) == []
    assert reader(company)["wish"] == "off"
    assert Address.parse(OFF).local == "digest-off"
