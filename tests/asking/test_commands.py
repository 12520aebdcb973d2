from datetime import UTC, datetime

import pytest

from quarantine.acting.reference import Reference
from quarantine.acting.rules import Action
from quarantine.asking.commands import ActionCommand, ReportCommand, read_commands
from quarantine.mail.addresses import Address


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        pytest.param(["manual-report-request@reports.example.com"], "reports.example.com", id="plain"),
        pytest.param(["MANUAL-Report-Request@REPORTS.example.com"], "reports.example.com", id="case"),
        pytest.param(["manual-report-request+now@reports.example.com"], "reports.example.com", id="suffix"),
        pytest.param(
            ["manual-report-request+a+b@reports.example.com"], "reports.example.com", id="two suffixes"
        ),
        pytest.param(["manual-report-request@anything.example"], "anything.example", id="any domain"),
        pytest.param(["manual-report-request@bücher.example"], "xn--bcher-kva.example", id="IDN domain"),
        pytest.param(["x@a.example", "manual-report-request@b.example"], "b.example", id="not the first"),
        pytest.param([], None, id="no recipient"),
        pytest.param(["postmaster@reports.example.com"], None, id="another local part"),
        pytest.param(["manual-report-requests@reports.example.com"], None, id="longer"),
        pytest.param(["x+manual-report-request@reports.example.com"], None, id="trigger as the suffix"),
        pytest.param(["+manual-report-request@reports.example.com"], None, id="nothing before the suffix"),
        pytest.param(
            ["manual-report-reque\N{LATIN SMALL LETTER LONG S}t@a.example"], None, id="long s for s"
        ),
        pytest.param(['"manual-report-request"@reports.example.com'], None, id="quoted"),
        pytest.param(["manual-report-request%b.example@a.example"], None, id="percent path"),
        pytest.param(["b.example!manual-report-request@a.example"], None, id="bang path"),
        pytest.param(["manual-report-request@reports.example.com@evil.example"], None, id="two ats"),
        pytest.param(["manual-report-request"], None, id="no domain"),
    ],
)
def test_the_trigger_is_a_local_part(recipients: list[str], expected: str | None) -> None:
    commands = read_commands(recipients, "manual-report-request")
    assert commands == ((ReportCommand(Address("manual-report-request", expected)),) if expected else ())


CODE = "abcdefghijklmnop"
REF = Reference(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), CODE)
OTHER = Reference(datetime(2026, 11, 23, 9, 30, 1, tzinfo=UTC), CODE)


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        pytest.param(f"preview-{REF}@reports.example.com", (Action.PREVIEW, REF), id="preview"),
        pytest.param(f"release-{REF}@reports.example.com", (Action.RELEASE, REF), id="release"),
        pytest.param(f"delete-{REF}@reports.example.com", (Action.DELETE, REF), id="delete"),
        pytest.param(f"RELEASE-{REF}@REPORTS.example.com".upper(), (Action.RELEASE, REF), id="upper case"),
        pytest.param(f"release-{OTHER}@other.example", (Action.RELEASE, OTHER), id="any domain"),
        pytest.param(f"release+{REF}@reports.example.com", None, id="plus for the hyphen"),
        pytest.param(f"release-{REF}+x@reports.example.com", None, id="a suffix"),
        pytest.param(f"x-release-{REF}@reports.example.com", None, id="a prefix"),
        pytest.param(f"release--{REF}@reports.example.com", None, id="two hyphens"),
        pytest.param(f"release-{REF}a@reports.example.com", None, id="a letter more"),
        pytest.param(f"release-{str(REF)[:-1]}@reports.example.com", None, id="a letter less"),
        pytest.param(f"release-{str(REF)[:-1]}1@reports.example.com", None, id="not base32"),
        pytest.param(f"approve-{REF}@reports.example.com", None, id="an unknown word"),
        pytest.param("release@reports.example.com", None, id="no reference"),
        pytest.param(f"release-999999999999-{CODE}@reports.example.com", None, id="no such year"),
    ],
)
def test_an_action_is_a_word_and_a_reference(
    recipient: str, expected: tuple[Action, Reference] | None
) -> None:
    found = [
        (command.action, command.reference)
        for command in read_commands([recipient], "manual-report-request")
        if isinstance(command, ActionCommand)
    ]
    assert found == ([expected] if expected else [])


def test_commands_are_distinct_and_in_the_order_of_the_envelope() -> None:
    recipients = [
        "nobody@reports.example.com",
        f"delete-{REF}@reports.example.com",
        "manual-report-request+a@reports.example.com",
        f"DELETE-{REF}@other.example",
        f"release-{OTHER}@reports.example.com",
        "manual-report-request+b@other.example",
        f"release-{REF}@reports.example.com",
    ]
    domain = "reports.example.com"
    assert read_commands(recipients, "manual-report-request") == (
        ActionCommand(Action.DELETE, REF, domain),
        ReportCommand(Address("manual-report-request", domain)),
        ActionCommand(Action.RELEASE, OTHER, domain),
        ActionCommand(Action.RELEASE, REF, domain),
    )


def test_an_action_was_written_to_its_address() -> None:
    address = Address.parse(f"release-{REF}@reports.example.com")
    (command,) = read_commands([str(address)], "manual-report-request")
    assert command.written_to == address
