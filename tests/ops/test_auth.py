import pytest

from quarantine.asking.admission import AuthRecord, Method
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.senders import Senders
from tests.ops.conftest import Terminal
from tests.world import World

BOB, ALICE, IT = map(Address.parse, ("bob@example.com", "alice@example.com", "it@example.com"))


def records(world: World) -> tuple[AuthRecord, ...]:
    """Return the auth records that intake reads for Bob."""
    log = Journal("test", "Tests", "quarantine").unreadable
    table = world.stack.environ["SENDERS_TABLE"]
    return Senders(world.session.client("dynamodb"), table, log).facts_for(BOB)[0]


def test_what_is_allowed_is_what_intake_reads(world: World, terminal: Terminal) -> None:
    assert terminal("auth", "allow", "Example.COM", "-m", "dmarc", "-m", "spf") == 0
    assert records(world) == (AuthRecord("example.com", frozenset({Method.DMARC, Method.SPF})),)


def test_an_address_can_see_other_mailboxes(world: World, terminal: Terminal) -> None:
    terminal("auth", "allow", "bob@example.com", "-m", "dmarc", "--mailbox", "Sales@example.com")
    (record,) = records(world)
    assert record.mailboxes == (Address.parse("sales@example.com"),)


@pytest.mark.parametrize("principal", ["example.com", "*"])
def test_a_domain_opens_no_mailbox(terminal: Terminal, principal: str) -> None:
    assert terminal("auth", "allow", principal, "-m", "dmarc", "--mailbox", "boss@example.com") == 3
    assert terminal.json("auth", "list") == []


def test_a_denial_takes_the_place_of_a_permission(world: World, terminal: Terminal) -> None:
    terminal("auth", "allow", "bob@example.com", "-m", "dmarc")
    assert terminal("auth", "deny", "bob@example.com", "--note", "left") == 0
    assert records(world) == (AuthRecord("bob@example.com", deny=True),)
    (row,) = terminal.json("auth", "list")
    assert (row["principal"], row["deny"], row["accept"], row["note"]) == (
        "bob@example.com",
        True,
        [],
        "left",
    )


def test_a_record_is_removed(world: World, terminal: Terminal) -> None:
    terminal("auth", "allow", "*", "-m", "dmarc", "--force")
    assert terminal("auth", "remove", "*") == 0
    assert records(world) == ()
    assert terminal("auth", "remove", "*") == 3


def test_a_command_changes_only_what_it_names(world: World, terminal: Terminal) -> None:
    terminal("auth", "allow", "example.com", "-m", "dmarc", "--forwarded", "--note", "since May")
    terminal("auth", "administrators", "add", "example.com", "Alice@example.com")
    terminal("auth", "allow", "example.com", "-m", "spf")
    (record,) = records(world)
    assert record == AuthRecord(
        "example.com", frozenset({Method.DMARC, Method.SPF}), forwarded=True, administrators=(ALICE,)
    )
    assert terminal.json("auth", "list")[0]["note"] == "since May"
    terminal("auth", "allow", "example.com", "-m", "dmarc", "--only")
    assert records(world) == (AuthRecord("example.com", frozenset({Method.DMARC}), administrators=(ALICE,)),)
    terminal("auth", "deny", "example.com")
    assert records(world) == (AuthRecord("example.com", deny=True, administrators=(ALICE,)),)
    terminal("auth", "allow", "example.com", "-m", "dmarc")
    assert records(world)[0].deny is False


def test_a_record_of_one_address_changes_only_by_what_is_named(world: World, terminal: Terminal) -> None:
    terminal("auth", "allow", "bob@example.com", "-m", "dmarc", "--mailbox", "sales@example.com")
    terminal("auth", "allow", "bob@example.com", "-m", "dmarc", "--mailbox", "orders@example.com")
    assert [str(each) for each in records(world)[0].mailboxes] == ["orders@example.com", "sales@example.com"]
    terminal("auth", "allow", "bob@example.com", "-m", "dmarc", "--mailbox", "sales@example.com", "--only")
    assert [str(each) for each in records(world)[0].mailboxes] == ["sales@example.com"]


def test_administrators_come_and_go(world: World, terminal: Terminal) -> None:
    assert terminal("auth", "administrators", "add", "example.com", "alice@example.com") == 0
    assert "no record proves alice@example.com" in terminal.warned
    terminal("relay", "add", "example.com", "192.0.2.0/24")
    assert terminal("auth", "administrators", "add", "example.com", "it@example.com") == 0
    assert [
        row["administrator"] for row in terminal.json("auth", "administrators", "list", "example.com")
    ] == [
        "alice@example.com",
        "it@example.com",
    ]
    assert terminal.json("auth", "administrators", "list", "other.example") == []
    terminal("auth", "administrators", "remove", "example.com", "alice@example.com")
    assert records(world) == (AuthRecord("example.com", administrators=(IT,)),)
    assert terminal("auth", "administrators", "remove", "example.com", "alice@example.com") == 3
    terminal("auth", "administrators", "remove", "example.com", "it@example.com")
    assert records(world) == ()  # and the record of * applies again


def test_an_administrator_does_not_shut_out_whom_everybodys_record_lets_in(
    world: World, terminal: Terminal
) -> None:
    terminal("auth", "allow", "*", "-m", "dmarc", "--force")
    assert terminal("auth", "administrators", "add", "example.com", "alice@example.com") == 3
    assert [record.principal for record in records(world)] == ["*"]
    assert terminal("auth", "administrators", "add", "*", "alice@example.com") == 0
    assert records(world)[0].administrators == (ALICE,)


def test_everybody_is_let_in_only_with_force(world: World, terminal: Terminal) -> None:
    assert terminal("auth", "allow", "*", "-m", "dmarc") == 3
    assert "--force" in terminal.warned
    assert records(world) == ()
    assert terminal("auth", "allow", "*", "-m", "dmarc", "--force") == 0
    assert [record.principal for record in records(world)] == ["*"]


def test_a_company_that_forwards(world: World, terminal: Terminal) -> None:
    assert terminal("auth", "allow", "example.com", "-m", "dkim", "--forwarded") == 0
    assert [record.forwarded for record in records(world)] == [True]
    assert terminal.json("auth", "list")[0]["forwarded"] is True
    assert terminal("auth", "allow", "example.com", "-m", "dkim") == 0
    assert [record.forwarded for record in records(world)] == [True]
    assert terminal("auth", "allow", "example.com", "-m", "dkim", "--no-forwarded") == 0
    assert [record.forwarded for record in records(world)] == [False]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("allow", "bob@", "-m", "dmarc"), 2, id="no address"),
        pytest.param(("allow", "example.com"), 2, id="no method"),
        pytest.param(("allow", "example.com", "-m", "arc"), 2, id="an unknown method"),
        pytest.param(("allow", "bob@example.com", "-m", "spf", "--mailbox", "boss"), 2, id="no mailbox"),
        pytest.param(("administrators", "add", "example.com", "alice"), 2, id="no administrator"),
        pytest.param(("administrators", "add", "bob@x.example", "a@x.example"), 2, id="of one address"),
    ],
)
def test_bad_input(terminal: Terminal, arguments: tuple[str, ...], code: int) -> None:
    assert terminal("auth", *arguments) == code
    assert terminal.json("auth", "list") == []
