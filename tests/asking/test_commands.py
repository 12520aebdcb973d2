import pytest

from quarantine.asking.commands import ReportCommand, first_command
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
    command = first_command(recipients, "manual-report-request")
    assert command == (ReportCommand(Address("manual-report-request", expected)) if expected else None)
