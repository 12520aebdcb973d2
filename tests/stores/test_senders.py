from ipaddress import ip_network
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from quarantine.asking.admission import AuthRecord, Method, RelayRecord
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.senders import Senders
from tests.world import World

BOB = Address.parse("bob@example.com")


@pytest.fixture
def senders(world: World) -> Senders:
    table = world.stack.environ["SENDERS_TABLE"]
    return Senders(world.session.client("dynamodb"), table, Journal("test", "Tests", "quarantine").unreadable)


def test_the_auth_records_that_can_count_most_specific_first(world: World, senders: Senders) -> None:
    world.records.put_auth("*", ["dmarc"])
    world.records.put_auth("example.com", ["dkim", "spf"])
    world.records.put_auth("bob@example.com", deny=True, mailboxes=["sales@EXAMPLE.com"])
    world.records.put_auth("alice@example.com", ["dmarc"])
    assert senders.facts_for(BOB)[0] == (
        AuthRecord("bob@example.com", deny=True, mailboxes=(Address.parse("sales@example.com"),)),
        AuthRecord("example.com", frozenset({Method.DKIM, Method.SPF})),
        AuthRecord("*", frozenset({Method.DMARC})),
    )


def test_no_record(senders: Senders) -> None:
    auth, relays = senders.facts_for(BOB)
    assert (auth, tuple(relays)) == ((), ())


def test_the_relays_of_the_domain_and_of_everybody(world: World, senders: Senders) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_relay("example.com", "2001:db8::/32")
    world.records.put_relay("*", "198.51.100.7/32")
    world.records.put_relay("example.net", "203.0.113.0/24")
    world.records.put_auth("example.com", ["dmarc"])
    assert tuple(senders.facts_for(BOB)[1]) == (
        RelayRecord("example.com", ip_network("192.0.2.0/24")),
        RelayRecord("example.com", ip_network("2001:db8::/32")),
        RelayRecord("*", ip_network("198.51.100.7/32")),
    )


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        pytest.param(
            {"accept": {"dmarc", "arc"}}, AuthRecord("example.com"), id="unknown method: none counts"
        ),
        pytest.param({"accept": "dmarc"}, AuthRecord("example.com"), id="accept is a text"),
        pytest.param({"accept": ["dmarc"]}, AuthRecord("example.com"), id="accept is a list"),
        pytest.param({"deny": "false"}, AuthRecord("example.com", deny=True), id="deny is a text"),
        pytest.param({"deny": 0}, AuthRecord("example.com", deny=True), id="deny is a number"),
        pytest.param({"deny": None}, AuthRecord("example.com", deny=True), id="deny is null"),
        pytest.param({"mailboxes": {"nobody"}}, AuthRecord("example.com"), id="mailbox is no address"),
        pytest.param({"mailboxes": "a@example.com"}, AuthRecord("example.com"), id="mailboxes is a text"),
    ],
)
def test_what_cannot_be_read_accepts_nothing(
    world: World, senders: Senders, over: dict[str, Any], expected: AuthRecord
) -> None:
    world.records.put("SENDERS_TABLE", {"principal": "example.com", "record": "auth", **over})
    assert senders.facts_for(BOB)[0] == (expected,)


@pytest.mark.parametrize(
    "network",
    [
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.0/255.255.255.0",
        "192.0.2.0/0.0.0.255",
        "example.com",
        "",
        "192.0.2.0/24 ",
    ],
)
def test_a_relay_that_cannot_be_read_is_skipped(world: World, senders: Senders, network: str) -> None:
    world.records.put("SENDERS_TABLE", {"principal": "example.com", "record": f"relay#{network}"})
    world.records.put_relay("example.com", "198.51.100.0/24")
    assert [record.network for record in senders.facts_for(BOB)[1]] == [ip_network("198.51.100.0/24")]


@pytest.mark.parametrize("local", ["o'brien", "who?", "{x}", "a$1", "b--", "c|*", "d%3f", "e`f", "true"])
def test_a_requester_is_a_value_and_no_part_of_the_statement(
    world: World, senders: Senders, local: str
) -> None:
    requester = Address.parse(f"{local}@example.com")
    world.records.put_auth(str(requester), ["dmarc"])
    world.records.put_auth("bob@example.com", ["dkim"])
    world.records.put_auth("*", ["spf"])
    auth, _ = senders.facts_for(requester)
    assert [record.principal for record in auth] == [str(requester), "*"]


def test_all_pages_are_read(world: World) -> None:
    client = world.session.client("dynamodb")
    with Stubber(client) as stubber:
        first = {"Items": [_item("*", "auth"), _item("*", "relay#192.0.2.0/24")], "NextToken": "more"}
        second = {"Items": [_item("example.com", "auth"), _item("*", "relay#198.51.100.0/24")]}
        stubber.add_response("execute_statement", first)
        asked = {"Statement": ANY, "Parameters": ANY, "ConsistentRead": True, "NextToken": "more"}
        stubber.add_response("execute_statement", second, asked)
        auth, relays = Senders(
            client, "senders", Journal("test", "Tests", "quarantine").unreadable
        ).facts_for(BOB)
    assert [record.principal for record in auth] == ["example.com", "*"]
    assert [str(record.network) for record in relays] == ["192.0.2.0/24", "198.51.100.0/24"]


def _item(principal: str, record: str) -> dict[str, Any]:
    return {"principal": {"S": principal}, "record": {"S": record}}
