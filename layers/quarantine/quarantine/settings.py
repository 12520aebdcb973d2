"""The settings of each function: environment variables, read once when its process starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Final, Self

from quarantine.acting.offers import Policy
from quarantine.acting.rules import USER_ACTIONS, Action
from quarantine.acting.ways import WayBack
from quarantine.held import LONGEST_RETENTION, HoldReason, Order
from quarantine.holding.filters.family import Family
from quarantine.mail.addresses import Address
from quarantine.mail.domains import normalise_domain

_DEFAULT_TRIGGER = "manual-report-request"
_LONGEST_TRIGGER: Final = 32  # octets; with a suffix and the longest domain it is still an address
# Mail to one of these, or to one and a hyphen, asks for something else than a report.
OTHER_LOCAL_PARTS: Final = (
    *("preview", "release", "delete", "ask", "approve", "refuse", "bounce"),
    *("digest-on", "digest-off"),
)
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

    trigger: a local part, in lower case, without suffix. mailbox_reports, mailbox_actions, domain_requests:
    how many accepted requests a mailbox and a domain may make in a clock hour; 0 for no limit. stack: the
    name of the stack, a dimension of its metrics.
    """

    senders_table: str
    requests_table: str
    mailboxes_table: str
    jobs_queue_url: str
    actions_queue_url: str
    feedback_queue_url: str
    mail_bucket: str
    trigger: str
    report_sender: Address
    cooldown: timedelta
    mailbox_reports: int
    mailbox_actions: int
    domain_requests: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        return cls(
            senders_table=_read(environ, "SENDERS_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            jobs_queue_url=_read(environ, "JOBS_QUEUE_URL", str),
            actions_queue_url=_read(environ, "ACTIONS_QUEUE_URL", str),
            feedback_queue_url=environ.get("FEEDBACK_QUEUE_URL", ""),
            mail_bucket=_read(environ, "MAIL_BUCKET", str),
            trigger=trigger,
            report_sender=_read(environ, "REPORT_SENDER", partial(_not_the_trigger, trigger)),
            cooldown=_read(environ, "COOLDOWN_SECONDS", _seconds, "300"),
            mailbox_reports=_read(environ, "MAILBOX_REPORTS_PER_HOUR", _count, "20"),
            mailbox_actions=_read(environ, "MAILBOX_ACTIONS_PER_HOUR", _count, "300"),
            domain_requests=_read(environ, "DOMAIN_REQUESTS_PER_HOUR", _count, "10000"),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """The settings of report.

    trigger: the address to write to if a request's row does not name one (rows of the version before).
    reports_domain: of every address that a report prints. policy: what users may do to held mail.
    lease: how long a claim lasts; longer than the function's timeout.
    configuration_set: of SES, which counts bounces and complaints; None for the identity's default.
    order: of the messages in a report. longest_retention: no older message is listed.
    attempts: after so many, SQS moves a job to the dead letters. stack: as for intake.
    """

    quarantine_table: str
    requests_table: str
    mailboxes_table: str
    trigger: Address
    reports_domain: str
    policy: Policy
    report_sender: Address
    reply_to: Address | None
    max_rows: int
    order: Order
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
        domain = _read(environ, "REPORTS_DOMAIN", normalise_domain)
        address = partial(_no_command, trigger, domain)
        return cls(
            quarantine_table=_read(environ, "QUARANTINE_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            trigger=Address(trigger, domain),
            reports_domain=domain,
            policy=policy_of(environ),
            report_sender=_read(environ, "REPORT_SENDER", address),
            reply_to=_read(environ, "REPLY_TO", address) if environ.get("REPLY_TO") else None,
            max_rows=_read(environ, "MAX_ROWS", _positive, "100"),
            order=_read(environ, "REPORT_ORDER", Order, Order.NEWEST),
            when_empty=_read(environ, "WHEN_EMPTY", WhenEmpty, "silent"),
            lease=_read(environ, "LEASE_SECONDS", _seconds, "60"),
            configuration_set=environ.get("CONFIGURATION_SET") or None,
            longest_retention=longest_retention(environ),
            attempts=_read(environ, "JOB_ATTEMPTS", _positive, _ONE_ATTEMPT),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class ActSettings:
    """The settings of act; lease, configuration_set, attempts and stack as for report.

    families: the filters whose marks are removed from a released mail. way: how it comes back.
    relay: host and port of the server for the way `relay`. secret_arn: of its login; None if it needs none.
    actions_queue_url, releases_queue_url: for the way `agent`. release_wait: how long a message waits then.
    results_queue_arn: of the queue by which agents say what became of a message; "" if there is none.
    """

    senders_table: str
    quarantine_table: str
    requests_table: str
    mailboxes_table: str
    mail_bucket: str
    reports_domain: str
    report_sender: Address
    reply_to: Address | None
    policy: Policy
    families: frozenset[Family]
    way: WayBack
    relay: tuple[str, int] | None
    secret_arn: str | None
    actions_queue_url: str
    releases_queue_url: str
    release_wait: timedelta
    results_queue_arn: str
    lease: timedelta
    configuration_set: str | None
    attempts: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        domain = _read(environ, "REPORTS_DOMAIN", normalise_domain)
        address = partial(_no_command, trigger, domain)
        way = _read(environ, "RELEASE_BY", WayBack, WayBack.ATTACHMENT)
        return cls(
            senders_table=_read(environ, "SENDERS_TABLE", str),
            quarantine_table=_read(environ, "QUARANTINE_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            mail_bucket=_read(environ, "MAIL_BUCKET", str),
            reports_domain=domain,
            report_sender=_read(environ, "REPORT_SENDER", address),
            reply_to=_read(environ, "REPLY_TO", address) if environ.get("REPLY_TO") else None,
            policy=policy_of(environ),
            families=_read(environ, "FILTER_FAMILIES", partial(_words, Family), ",".join(Family)),
            way=way,
            relay=_of_way(environ, "RELEASE_RELAY", _host_and_port, needed=way is WayBack.RELAY),
            secret_arn=environ.get("RELEASE_SECRET_ARN") or None,
            actions_queue_url=_of_way(environ, "ACTIONS_QUEUE_URL", str, needed=way is WayBack.AGENT) or "",
            releases_queue_url=_of_way(environ, "RELEASES_QUEUE_URL", str, needed=way is WayBack.AGENT) or "",
            results_queue_arn=environ.get("RESULTS_QUEUE_ARN", ""),
            release_wait=timedelta(hours=_read(environ, "RELEASE_WAIT_HOURS", _positive, "4")),
            lease=_read(environ, "ACTION_LEASE_SECONDS", _seconds, "180"),
            configuration_set=environ.get("CONFIGURATION_SET") or None,
            attempts=_read(environ, "ACTION_ATTEMPTS", _positive, _ONE_ATTEMPT),
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
    senders_table: str
    mailboxes_table: str
    reports_domain: str
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
            senders_table=_read(environ, "SENDERS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            reports_domain=_read(environ, "REPORTS_DOMAIN", normalise_domain),
            dead_letters_url=_read(environ, "HELD_DEAD_LETTERS_URL", str),
            families=_read(environ, "FILTER_FAMILIES", partial(_words, Family), ",".join(Family)),
            retention=_read(environ, "RETENTION_DAYS", _retention),
            attempts=_read(environ, "HELD_ATTEMPTS", _positive, _ONE_ATTEMPT),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class FeedbackSettings:
    """The settings of feedback.

    configuration_set: of SES; events about mail that was sent with another one are refused.
    lease: how long it may take to tell a requester; longer than the function's timeout.
    attempts, stack: as for report.
    """

    quarantine_table: str
    requests_table: str
    mailboxes_table: str
    configuration_set: str
    report_sender: Address
    reply_to: Address | None
    lease: timedelta
    attempts: int
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        address = partial(_no_command, trigger, _read(environ, "REPORTS_DOMAIN", normalise_domain))
        return cls(
            quarantine_table=_read(environ, "QUARANTINE_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            configuration_set=_read(environ, "CONFIGURATION_SET", str),
            report_sender=_read(environ, "REPORT_SENDER", address),
            reply_to=_read(environ, "REPLY_TO", address) if environ.get("REPLY_TO") else None,
            lease=_read(environ, "LEASE_SECONDS", _seconds, "60"),
            attempts=_read(environ, "FEEDBACK_ATTEMPTS", _positive, _ONE_ATTEMPT),
            stack=_read(environ, "STACK_NAME", str),
        )


@dataclass(frozen=True, slots=True)
class DigestSettings:
    """The settings of digest.

    trigger: the address that a digest says to write to. time_left: how long before the function's timeout it
    begins no other page of readers. stack: as for intake.
    """

    senders_table: str
    requests_table: str
    mailboxes_table: str
    jobs_queue_url: str
    trigger: Address
    reports_domain: str
    time_left: timedelta
    stack: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises BadSetting."""
        trigger = _read(environ, "TRIGGER", _trigger, _DEFAULT_TRIGGER)
        domain = _read(environ, "REPORTS_DOMAIN", normalise_domain)
        return cls(
            senders_table=_read(environ, "SENDERS_TABLE", str),
            requests_table=_read(environ, "REQUESTS_TABLE", str),
            mailboxes_table=_read(environ, "MAILBOXES_TABLE", str),
            jobs_queue_url=_read(environ, "JOBS_QUEUE_URL", str),
            trigger=Address(trigger, domain),
            reports_domain=domain,
            time_left=_read(environ, "TIME_LEFT_SECONDS", _seconds, "30"),
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


def policy_of(environ: Mapping[str, str]) -> Policy:
    """Return what users may do to held mail. Raises BadSetting."""
    return Policy(
        actions=_read(environ, "USER_ACTIONS", _user_actions, "preview,release,delete"),
        reasons=_read(environ, "RELEASE_REASONS", partial(_words, HoldReason), "spam,bulk,policy,blocked"),
    )


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


def _of_way[T](environ: Mapping[str, str], name: str, parse: Callable[[str], T], *, needed: bool) -> T | None:
    """Read a setting that only one way back needs; None for an empty one that is not needed."""
    return _read(environ, name, parse) if needed or environ.get(name) else None


def _trigger(text: str) -> str:
    # The domain does not matter; any domain serves to check that the text is a valid local part.
    trigger = Address.parse(f"{text}@example.com").local
    if "+" in trigger:
        raise ValueError(f"a trigger has no +suffix: {text!r}")
    if len(trigger) > _LONGEST_TRIGGER:
        raise ValueError(f"longer than {_LONGEST_TRIGGER} octets: {text!r}")
    if _is_other_local_part(trigger):
        raise ValueError(f"another of our addresses begins so: {text!r}")
    return trigger


def _is_other_local_part(local: str) -> bool:
    return any(local == other or local.startswith(f"{other}-") for other in OTHER_LOCAL_PARTS)


def _not_the_trigger(trigger: str, text: str) -> Address:
    address = Address.parse(text)
    if address.without_suffix().local == trigger:  # an automatic reply to a report would ask for another
        raise ValueError(f"its local part is the trigger: {text!r}")
    return address


def _no_command(trigger: str, domain: str, text: str) -> Address:
    address = _not_the_trigger(trigger, text)
    if address.domain == domain and _is_other_local_part(address.without_suffix().local):
        raise ValueError(f"mail to it would ask for something else: {text!r}")
    return address


def _host_and_port(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise ValueError(f"not HOST:PORT: {text!r}")
    return host.strip("[]"), _positive(port)


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_number(text, at_least=0))


def _count(text: str) -> int:
    return _number(text, at_least=0)


def _positive(text: str) -> int:
    return _number(text, at_least=1)


def _words[T: StrEnum](vocabulary: type[T], text: str) -> frozenset[T]:
    """Read `none`, or words between commas."""
    if text.strip() == "none":
        return frozenset()
    return frozenset(vocabulary(word.strip()) for word in text.split(","))


def _user_actions(text: str) -> frozenset[Action]:
    actions = _words(Action, text)
    if others := actions.difference(USER_ACTIONS):
        raise ValueError(f"not one of {', '.join(USER_ACTIONS)}: {', '.join(sorted(others))}")
    return actions


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
