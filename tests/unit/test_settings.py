from datetime import timedelta

import pytest

from quarantine.addresses import Address
from quarantine.settings import BadSetting, IntakeSettings, ReportSettings, WhenEmpty

INTAKE = {
    "SENDERS_TABLE": "senders",
    "REQUESTS_TABLE": "requests",
    "JOBS_QUEUE_URL": "https://sqs.example/jobs",
    "MAIL_BUCKET": "mail",
    "REPORT_SENDER": "quarantine@reports.example.com",
}
REPORT = {
    "QUARANTINE_TABLE": "quarantine",
    "REQUESTS_TABLE": "requests",
    "REPORT_SENDER": "quarantine@reports.example.com",
}


def test_defaults() -> None:
    intake, report = IntakeSettings.from_environ(INTAKE), ReportSettings.from_environ(REPORT)
    assert (intake.trigger, intake.cooldown) == ("manual-report-request", timedelta(minutes=5))
    assert (report.max_rows, report.when_empty, report.reply_to) == (100, WhenEmpty.SILENT, None)


def test_all_that_can_be_set() -> None:
    intake = IntakeSettings.from_environ(INTAKE | {"TRIGGER": "Held", "COOLDOWN_SECONDS": "0"})
    more = {"REPLY_TO": "help@example.com", "MAX_ROWS": "7", "WHEN_EMPTY": "reply", "LEASE_SECONDS": "9"}
    more["CONFIGURATION_SET"] = "reports"
    report = ReportSettings.from_environ(REPORT | more)
    assert (intake.trigger, intake.cooldown) == ("held", timedelta())
    assert report.configuration_set == "reports"
    assert report.reply_to == Address.parse("help@example.com")
    assert (report.max_rows, report.when_empty, report.lease) == (7, WhenEmpty.REPLY, timedelta(seconds=9))


@pytest.mark.parametrize("name", INTAKE)
def test_a_setting_of_intake_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        IntakeSettings.from_environ({**INTAKE, name: ""})


@pytest.mark.parametrize("name", REPORT)
def test_a_setting_of_report_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        ReportSettings.from_environ({key: value for key, value in REPORT.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REPORT_SENDER", "quarantine"),
        ("TRIGGER", "a+b"),
        ("TRIGGER", "a@b"),
        ("TRIGGER", "two words"),
        ("COOLDOWN_SECONDS", "soon"),
        ("COOLDOWN_SECONDS", "-1"),
    ],
)
def test_a_setting_of_intake_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        IntakeSettings.from_environ({**INTAKE, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_ROWS", "0"),
        ("MAX_ROWS", "many"),
        ("WHEN_EMPTY", "loud"),
        ("REPLY_TO", "me"),
        ("LEASE_SECONDS", "1.5"),
    ],
)
def test_a_setting_of_report_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        ReportSettings.from_environ({**REPORT, name: value})
