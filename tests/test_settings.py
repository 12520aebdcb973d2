from datetime import timedelta

import pytest

from quarantine.acting.offers import NOTHING_OFFERED, Policy
from quarantine.acting.rules import USER_ACTIONS, Action
from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.settings import (
    ActSettings,
    BadSetting,
    HoldSettings,
    IntakeSettings,
    ReportSettings,
    WhenEmpty,
    policy_of,
)

INTAKE = {
    "SENDERS_TABLE": "senders",
    "REQUESTS_TABLE": "requests",
    "MAILBOXES_TABLE": "mailboxes",
    "JOBS_QUEUE_URL": "https://sqs.example/jobs",
    "ACTIONS_QUEUE_URL": "https://sqs.example/actions",
    "MAIL_BUCKET": "mail",
    "REPORT_SENDER": "quarantine@reports.example.com",
    "STACK_NAME": "quarantine-report",
}
REPORT = {
    "QUARANTINE_TABLE": "quarantine",
    "REQUESTS_TABLE": "requests",
    "MAILBOXES_TABLE": "mailboxes",
    "REPORTS_DOMAIN": "reports.example.com",
    "REPORT_SENDER": "quarantine@reports.example.com",
    "STACK_NAME": "quarantine-report",
}
ACT = {
    "SENDERS_TABLE": "senders",
    "QUARANTINE_TABLE": "quarantine",
    "REQUESTS_TABLE": "requests",
    "MAILBOXES_TABLE": "mailboxes",
    "MAIL_BUCKET": "mail",
    "REPORTS_DOMAIN": "reports.example.com",
    "REPORT_SENDER": "quarantine@reports.example.com",
    "STACK_NAME": "quarantine-report",
}

DAYS = "spam=30,phishing=31,virus=32,bulk=33,policy=34,blocked=35"
HOLD = {
    "MAIL_BUCKET": "mail",
    "QUARANTINE_TABLE": "quarantine",
    "SENDERS_TABLE": "senders",
    "MAILBOXES_TABLE": "mailboxes",
    "REPORTS_DOMAIN": "reports.example.com",
    "HELD_DEAD_LETTERS_URL": "https://sqs.example/dead",
    "RETENTION_DAYS": DAYS,
    "STACK_NAME": "quarantine-report",
}


def test_defaults() -> None:
    intake, report = IntakeSettings.from_environ(INTAKE), ReportSettings.from_environ(REPORT)
    assert (intake.trigger, intake.cooldown) == ("manual-report-request", timedelta(minutes=5))
    assert (report.max_rows, report.when_empty, report.reply_to) == (100, WhenEmpty.SILENT, None)
    assert report.trigger == Address.parse("manual-report-request@reports.example.com")
    assert report.reports_domain == "reports.example.com"


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


@pytest.mark.parametrize("name", ACT)
def test_a_setting_of_act_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        ActSettings.from_environ({**ACT, name: ""})


@pytest.mark.parametrize(
    ("environ", "actions", "reasons"),
    [
        pytest.param(
            {}, {*USER_ACTIONS}, {*HoldReason} - {HoldReason.PHISHING, HoldReason.VIRUS}, id="default"
        ),
        pytest.param({"USER_ACTIONS": "none", "RELEASE_REASONS": "none"}, set(), set(), id="nothing"),
        pytest.param(
            {"USER_ACTIONS": "preview, delete", "RELEASE_REASONS": "virus"},
            {Action.PREVIEW, Action.DELETE},
            {HoldReason.VIRUS},
            id="some",
        ),
    ],
)
def test_what_act_lets_users_do(
    environ: dict[str, str], actions: set[Action], reasons: set[HoldReason]
) -> None:
    expected = Policy(frozenset(actions), frozenset(reasons))
    assert ActSettings.from_environ(ACT | environ).policy == expected
    assert ReportSettings.from_environ(REPORT | environ).policy == expected


@pytest.mark.parametrize("name", ["USER_ACTIONS", "RELEASE_REASONS"])
def test_an_action_or_a_reason_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        ActSettings.from_environ({**ACT, name: "approve"})


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
        ("TRIGGER", "x" * 33),
        ("COOLDOWN_SECONDS", "soon"),
        ("COOLDOWN_SECONDS", "-1"),
    ],
)
def test_a_setting_of_intake_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        IntakeSettings.from_environ({**INTAKE, name: value})


NOT_RELEASABLE = frozenset({HoldReason.PHISHING, HoldReason.VIRUS})
OTHERS = (
    *("preview", "release", "delete", "ask", "approve", "refuse", "bounce"),
    *("digest-on", "digest-off"),
)


@pytest.mark.parametrize("local", [*OTHERS, *(f"{word}-x" for word in OTHERS), "Release-1"])
def test_no_two_of_our_local_parts_are_alike(local: str) -> None:
    with pytest.raises(BadSetting, match="TRIGGER"):
        IntakeSettings.from_environ(INTAKE | {"TRIGGER": local})
    with pytest.raises(BadSetting, match="REPORT_SENDER"):
        ReportSettings.from_environ(REPORT | {"REPORT_SENDER": f"{local}@Reports.example.com"})
    with pytest.raises(BadSetting, match="REPLY_TO"):
        ReportSettings.from_environ(REPORT | {"REPLY_TO": f"{local}+x@reports.example.com"})


@pytest.mark.parametrize("local", ["digest", "released", "previews", "asking-for-mail", "x" * 32])
def test_a_local_part_that_only_resembles_another_is_ours_to_choose(local: str) -> None:
    assert IntakeSettings.from_environ(INTAKE | {"TRIGGER": local}).trigger == local
    ours = f"{local}@reports.example.com"
    assert ReportSettings.from_environ(REPORT | {"REPORT_SENDER": ours}).report_sender == Address.parse(ours)


def test_mail_to_another_domain_asks_for_nothing() -> None:
    release = "release-notes@example.com"
    report = ReportSettings.from_environ(REPORT | {"REPORT_SENDER": release, "REPLY_TO": release})
    assert report.report_sender == report.reply_to == Address.parse(release)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {}, Policy(frozenset(USER_ACTIONS), frozenset(HoldReason) - NOT_RELEASABLE), id="nothing set"
        ),
        pytest.param({"USER_ACTIONS": "none", "RELEASE_REASONS": "none"}, NOTHING_OFFERED, id="none"),
        pytest.param(
            {"USER_ACTIONS": "preview, delete", "RELEASE_REASONS": "virus"},
            Policy(frozenset({Action.PREVIEW, Action.DELETE}), frozenset({HoldReason.VIRUS})),
            id="some",
        ),
    ],
)
def test_what_users_may_do(environ: dict[str, str], expected: Policy) -> None:
    assert policy_of(environ) == expected
    assert ReportSettings.from_environ(REPORT | environ).policy == expected


@pytest.mark.parametrize("text", ["preview,none", "preview,", "approve", ",", "None"])
@pytest.mark.parametrize("name", ["USER_ACTIONS", "RELEASE_REASONS"])
def test_what_users_may_do_is_never_guessed(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=name):
        policy_of({name: text})


@pytest.mark.parametrize("sender", ["held@example.com", "Held+bounce@example.com"])
def test_a_report_does_not_come_from_the_trigger(sender: str) -> None:
    with pytest.raises(BadSetting, match="REPORT_SENDER"):
        IntakeSettings.from_environ({**INTAKE, "TRIGGER": "held", "REPORT_SENDER": sender})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_ROWS", "0"),
        ("MAX_ROWS", "many"),
        ("WHEN_EMPTY", "loud"),
        ("REPLY_TO", "me"),
        ("LEASE_SECONDS", "1.5"),
        ("RETENTION_DAYS", "30"),
        ("LONGEST_RETENTION_DAYS", "0"),
    ],
)
def test_a_setting_of_report_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        ReportSettings.from_environ({**REPORT, name: value})


@pytest.mark.parametrize(
    ("environ", "days"),
    [
        pytest.param({}, 3650, id="nothing set"),
        pytest.param({"RETENTION_DAYS": DAYS}, 35, id="by reason"),
        pytest.param({"RETENTION_DAYS": DAYS, "LONGEST_RETENTION_DAYS": "30"}, 35, id="a reason is longest"),
        pytest.param({"RETENTION_DAYS": DAYS, "LONGEST_RETENTION_DAYS": "400"}, 400, id="no reason is"),
        pytest.param({"RETENTION_DAYS": DAYS, "LONGEST_RETENTION_DAYS": ""}, 35, id="an older stack"),
    ],
)
def test_reports_list_what_is_kept(environ: dict[str, str], days: int) -> None:
    assert ReportSettings.from_environ(REPORT | environ).longest_retention == timedelta(days=days)


def test_hold_is_told_how_long_each_reason_is_kept() -> None:
    assert HoldSettings.from_environ(HOLD).retention == {
        HoldReason.SPAM: timedelta(days=30),
        HoldReason.PHISHING: timedelta(days=31),
        HoldReason.VIRUS: timedelta(days=32),
        HoldReason.BULK: timedelta(days=33),
        HoldReason.POLICY: timedelta(days=34),
        HoldReason.BLOCKED: timedelta(days=35),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", set(Family), id="nothing said"),
        pytest.param("none", set(), id="none"),
        pytest.param("amavis", {Family.AMAVIS}, id="one"),
        pytest.param(
            "amavis, spamassassin,ses", {Family.AMAVIS, Family.SPAMASSASSIN, Family.SES}, id="three"
        ),
        pytest.param(",".join(Family), set(Family), id="all"),
    ],
)
def test_hold_is_told_whose_fields_it_believes(text: str, expected: set[Family]) -> None:
    assert HoldSettings.from_environ(HOLD | {"FILTER_FAMILIES": text}).families == expected


@pytest.mark.parametrize("name", HOLD)
def test_a_setting_of_hold_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        HoldSettings.from_environ({**HOLD, name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FILTER_FAMILIES", "rspamd,mailscanner"),
        ("FILTER_FAMILIES", "amavis,"),
        ("FILTER_FAMILIES", "amavis,none"),
        ("RETENTION_DAYS", "30"),
        ("RETENTION_DAYS", DAYS.replace("spam=30", "spam=0")),
        ("RETENTION_DAYS", DAYS.replace("spam=30", "spam=")),
        ("RETENTION_DAYS", DAYS.replace("spam=30", "ham=30")),
        ("RETENTION_DAYS", DAYS.partition(",")[2]),
    ],
)
def test_a_setting_of_hold_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        HoldSettings.from_environ({**HOLD, name: value})


@pytest.mark.parametrize("reason", HoldReason)
def test_no_reason_may_be_without_days(reason: HoldReason) -> None:
    days = ",".join(part for part in DAYS.split(",") if not part.startswith(f"{reason}="))
    with pytest.raises(BadSetting, match=f"no days for {reason}"):
        HoldSettings.from_environ({**HOLD, "RETENTION_DAYS": days})
