import pytest

from quarantine.asking.admission import AuthRecord, Method
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.senders import Senders
from tests.ops.conftest import Terminal
from tests.world import World

BOB = Address.parse("bob@example.com")


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
    assert [record.forwarded for record in records(world)] == [False]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("allow", "bob@", "-m", "dmarc"), 2, id="no address"),
        pytest.param(("allow", "example.com"), 2, id="no method"),
        pytest.param(("allow", "example.com", "-m", "arc"), 2, id="an unknown method"),
        pytest.param(("allow", "bob@example.com", "-m", "spf", "--mailbox", "boss"), 2, id="no mailbox"),
    ],
)
def test_bad_input(terminal: Terminal, arguments: tuple[str, ...], code: int) -> None:
    assert terminal("auth", *arguments) == code
    assert terminal.json("auth", "list") == []
