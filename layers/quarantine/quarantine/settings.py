"""The settings of each function: environment variables, read once when its process starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Self

from quarantine.held import LONGEST_RETENTION, HoldReason
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.mail.domains import normalise_domain

_DEFAULT_TRIGGER = "manual-report-request"
_ONE_ATTEMPT = "1"  # then each failure counts as a dead letter: too many alarms, and never too few


class BadSetting(RuntimeError):
    """A setting is missing or cannot be read; the message names it."""


class WhenEmpty(StrEnum):
    """What a requester receives if nothing is held for them."""

    SILENT = "silent"  # no mail
    REPLY = "reply"  # a report that says so


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """The settings of intake.

    trigger: a local part, in lower case, without suffix. mailbox_reports, domain_requests: how many accepted
    requests a mailbox and a domain may make in a clock hour; 0 for no limit. stack: the name of the stack, a
    dimension of its metrics.
    """

    senders_table: str
    requests_table: str
    jobs_queue_url: str
    mail_bucket: str
    trigger: str
    report_sender: Address
    cooldown: timedelta
    mailbox_reports: int
    domain_requests: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        return cls(
            senders_table=_read(environ, "SENDERS_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            jobs_queue_url=_read(environ, "JOBS_QUEUE_URL", str),
            mail_bucket=_read(environ, "MAIL_BUCKET", str),
            trigger=trigger,
            report_sender=_read(environ, "REPORT_SENDER", partial(_not_the_trigger, trigger)),
            cooldown=_read(environ, "COOLDOWN_SECONDS", _seconds, "300"),
            mailbox_reports=_read(environ, "MAILBOX_REPORTS_PER_HOUR", _count, "20"),
            domain_requests=_read(environ, "DOMAIN_REQUESTS_PER_HOUR", _count, "10000"),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The settings of report.

    trigger: the address to write to if a request's row does not name one (rows of the version before).
    lease: how long a claim lasts; longer than the function's timeout.
    configuration_set: of SES, which counts bounces and complaints; None for the identity's default.
    longest_retention: no older message is listed.
    attempts: after so many, SQS moves a job to the dead letters. stack: as for intake.
    """

    quarantine_table: str
    requests_table: str
    trigger: Address
    report_sender: Address
    reply_to: Address | None
    max_rows: int
    when_empty: WhenEmpty
    lease: timedelta
    configuration_set: str | None
    longest_retention: timedelta
    attempts: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        return cls(
            quarantine_table=_read(environ, "QUARANTINE_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            trigger=Address(trigger, _read(environ, "REPORTS_DOMAIN", normalise_domain)),
            report_sender=_read(environ, "REPORT_SENDER", partial(_not_the_trigger, trigger)),
            reply_to=_read(environ, "REPLY_TO", partial(_not_the_trigger, trigger))
            if environ.get("REPLY_TO")
            else None,
            max_rows=_read(environ, "MAX_ROWS", _positive, "100"),
            when_empty=_read(environ, "WHEN_EMPTY", WhenEmpty, "silent"),
            lease=_read(environ, "LEASE_SECONDS", _seconds, "60"),
            configuration_set=environ.get("CONFIGURATION_SET") or None,
            longest_retention=longest_retention(environ),
            attempts=_read(environ, "JOB_ATTEMPTS", _positive, _ONE_ATTEMPT),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class HoldSettings:
    """The settings of hold.

    families: the filters whose header fields are trusted. retention: how long a mail is kept, by reason.
    attempts, stack: as for report.
    """

    mail_bucket: str
    quarantine_table: str
    dead_letters_url: str
    families: frozenset[Family]
    retention: Mapping[HoldReason, timedelta]
    attempts: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        return cls(
            mail_bucket=_read(environ, "MAIL_BUCKET", str),
            quarantine_table=_read(environ, "QUARANTINE_TABLE", str),
            dead_letters_url=_read(environ, "HELD_DEAD_LETTERS_URL", str),
            families=_read(environ, "FILTER_FAMILIES", _families, ",".join(Family)),
            retention=_read(environ, "RETENTION_DAYS", _retention),
            attempts=_read(environ, "HELD_ATTEMPTS", _positive, _ONE_ATTEMPT),
            stack=_read(environ, "STACK_NAME", str),
        )


_KEPT_LONGEST = ",".join(f"{reason}={LONGEST_RETENTION.days}" for reason in HoldReason)


def longest_retention(environ: Mapping[str, str]) -> timedelta:
    """Return the longest time that a message is kept, by its reason or otherwise. Raises BadSetting.

    Without RETENTION_DAYS it is the longest that is possible, so that no message is missing.
    """
    by_reason = _read(environ, "RETENTION_DAYS", _retention, _KEPT_LONGEST)
    otherwise = _read(environ, "LONGEST_RETENTION_DAYS", _positive, "1")
    return max(*by_reason.values(), timedelta(days=otherwise))


def _read[T](
    environ: Mapping[str, str], name: str, parse: Callable[[str], T], default: str | None = None
) -> T:
    text = environ.get(name) or default
    if text is None:
        raise BadSetting(f"the setting {name} is missing")
    try:
        return parse(text)
    except (ValueError, OverflowError) as e:
        raise BadSetting(f"the setting {name} cannot be read: {e}") from e


def _trigger(text: str) -> str:
    # The domain does not matter; any domain serves to check that the text is a valid local part.
    trigger = Address.parse(f"{text}@example.com").local
    if "+" in trigger:
        raise ValueError(f"a trigger has no +suffix: {text!r}")
    return trigger


def _not_the_trigger(trigger: str, text: str) -> Address:
    address = Address.parse(text)
    if address.without_suffix().local == trigger:  # an automatic reply to a report would ask for another
        raise ValueError(f"its local part is the trigger: {text!r}")
    return address


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_number(text, at_least=0))


def _count(text: str) -> int:
    return _number(text, at_least=0)


def _positive(text: str) -> int:
    return _number(text, at_least=1)


def _families(text: str) -> frozenset[Family]:
    return frozenset(Family(word.strip()) for word in text.split(",") if word.strip() != "none")


def _retention(text: str) -> Mapping[HoldReason, timedelta]:
    days = dict(part.strip().split("=", 1) for part in text.split(","))
    kept = {HoldReason(word): timedelta(days=_positive(number)) for word, number in days.items()}
    if missing := set(HoldReason) - kept.keys():
        raise ValueError(f"no days for {', '.join(sorted(missing))}")
    return kept


def _number(text: str, at_least: int) -> int:
    if (number := int(text)) < at_least:
        raise ValueError(f"{number} is less than {at_least}")
    return number
