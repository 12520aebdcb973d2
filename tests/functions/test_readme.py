"""The README keeps its word: each line that an operator would type or look up."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.stack import load_template
from quarantine.asking.admission import Method, Refusal
from quarantine.mail.addresses import Address
from quarantine.runtime import Journal
from quarantine.stores.quarantine import Quarantine
from quarantine.stores.requests import RequestStatus
from quarantine.stores.senders import Senders
from tests.world import World

README = (Path(__file__).parents[2] / "README.md").read_text()
BOB = Address.parse("bob@example.com")


def first_cells(heading: str) -> set[str]:
    """Return the words in code of the first column of each table below a heading."""
    section = README.partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\s*\|([^|]*)\|", section, flags=re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def test_each_refusal_and_each_method_has_a_line() -> None:
    assert first_cells("Who gets a report") == {*map(str, Refusal), *map(str, Method)}


def test_each_status_has_a_line() -> None:
    assert first_cells('"Nothing happened when Bob asked"') == set(map(str, RequestStatus))


def test_each_parameter_has_a_line() -> None:
    assert first_cells("Parameters") == set(load_template()["Parameters"])


def test_each_output_that_it_names_is_one() -> None:
    named = set(re.findall(r"`((?:MxRecord|[A-Z]\w+Name|[A-Z]\w+Arn))`", README)) - set(
        load_template()["Parameters"]
    )
    assert named - set(load_template()["Outputs"]) == set()


@pytest.fixture
def items(world: World) -> list[dict[str, Any]]:
    """Put each item that the README puts into a table, as it stands there."""
    client = world.session.client("dynamodb")
    commands = re.findall(
        r"put-item --table-name \"\$(\w+)\" --item \\\n\s*'(.*?)'\n```", README, flags=re.DOTALL
    )
    for table, item in commands:
        client.put_item(TableName=world.stack.environ[table], Item=json.loads(item))
    return [json.loads(item) for _, item in commands]


def test_the_records_that_it_puts_can_be_read(world: World, items: list[dict[str, Any]]) -> None:
    assert len(items) == 3
    client, log = world.session.client("dynamodb"), Journal("test", "Tests").unreadable
    senders = Senders(client, world.stack.environ["SENDERS_TABLE"], log)
    quarantine = Quarantine(client, world.stack.environ["QUARANTINE_TABLE"], log)
    auth, relays = senders.facts_for(BOB)
    assert [record.accept for record in auth] == [{Method.DMARC}]
    assert [str(record.network) for record in relays] == ["192.0.2.0/24"]
    (held,) = quarantine.held_for(BOB, world.clock.now, 10).newest
    assert (held.subject, held.message_id) == ("Invoice 1187", "<1187@supplier.example>")
