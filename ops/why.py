"""`quarantine why`: shows what intake would decide on a mail, and because of which record; changes nothing.

The rules are intake's own. This module only makes its InboundMail from a raw mail.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import getaddresses, parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, assert_never

import typer
from botocore.exceptions import ClientError

from ops.operator import Operator, OperatorError
from ops.words import ADVICE, MEANING, arrival, moment, shown
from quarantine.acting.reference import shortened
from quarantine.asking.admission import Accepted, Decision, Refused, evidence, request_id
from quarantine.asking.commands import (
    ActionCommand,
    Command,
    DigestCommand,
    ReportCommand,
    RulingCommand,
    WishCommand,
)
from quarantine.asking.event import InboundMail, Verdict, Verdicts, parse_event, with_raw_header
from quarantine.asking.trace import authentication_results, read_hop
from quarantine.mail.strict import MalformedHeader, parse_header
from quarantine.services.intake import Judge, limits_of, refusal_of
from quarantine.settings import IntakeSettings
from quarantine.stores.objects import InboundObjects
from quarantine.stores.requests import Admitted, Known, Limits

REFUSED = 3  # the exit code

_MESSAGE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NO_ID = "unknown"  # the id of a mail that SES did not store


def why(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A file (a raw mail as SES stored it, or an SES event as JSON), or the id of a stored mail.",
            metavar="FILE|MESSAGE-ID",
        ),
    ],
) -> None:
    """Show what intake would decide on a mail now, and because of which record. Nothing is changed.

    A mail may ask for several things, and each is decided. Exits with 0 if one is granted, else with 3.
    """
    operator: Operator = context.obj
    mail = _read(operator, source)
    settings = IntakeSettings.from_environ(operator.environ)
    judge = Judge.on(settings, operator.dynamodb, partial(operator.client, "s3"), operator.unreadable)
    with _stored(mail.message_id):
        mail, decisions = judge.judge(mail)
    final = [
        _explained(operator, mail, number, decision, limits_of(settings))
        for number, decision in enumerate(decisions, start=1)
    ]
    if all(isinstance(decision, Refused) for decision in final):
        raise typer.Exit(REFUSED)


def _explained(
    operator: Operator, mail: InboundMail, number: int, decision: Decision, limits: Limits
) -> Decision:
    """Explain the decision on one command of a mail, and return it as the requests table changes it."""
    row = operator.requests.find(request_id(mail, number))
    if isinstance(decision, Accepted) and not row:
        admission = operator.requests.foresee(decision, operator.clock(), limits)
        if not isinstance(admission, (Admitted, Known)):
            decision = refusal_of(admission, decision, limits)
    _answer(operator, mail, number, decision, _notes(operator, row, request_id(mail, number), decision))
    return decision


# --- The mail ---


def _read(operator: Operator, source: str) -> InboundMail:
    path = Path(source)
    if path.exists():
        data = path.read_bytes()
        if data.lstrip()[:1] == b"{":
            return _with_raw_beside(parse_event(json.loads(data)), path)
        return _of_raw(operator, data, None)
    if not _MESSAGE_ID.fullmatch(source):
        raise OperatorError(f"{shown(source)} is not a file and not an SES message id")
    mails = InboundObjects(partial(operator.client, "s3"), operator.name("MailBucketName"))
    with _stored(source):
        return _of_raw(operator, mails.start_of(source), source)


@contextmanager
def _stored(message_id: str) -> Iterator[None]:
    """Raise OperatorError with an explanation if the bucket has no such mail."""
    try:
        yield
    except ClientError as e:
        if e.response["Error"]["Code"] != "NoSuchKey":
            raise
        raise OperatorError(
            f"there is no file and no stored mail {message_id}: the bucket keeps mail for only some days;"
            f" `quarantine requests show {message_id}` may still show the decision"
        ) from e


def _with_raw_beside(mail: InboundMail, path: Path) -> InboundMail:
    """Complete a mail that SES cut off, from an .eml beside its event; else intake reads the bucket."""
    raw = path.with_suffix(".eml")
    if not mail.headers_truncated or not raw.exists():
        return mail
    try:
        return with_raw_header(mail, raw.read_bytes())
    except MalformedHeader as e:
        raise OperatorError(f"{raw} is not a whole mail ({e}): intake refuses it as ambiguous_sender") from e


_RESULTS = {"pass": Verdict.PASS, "fail": Verdict.FAIL}


def _of_raw(operator: Operator, raw: bytes, message_id: str | None) -> InboundMail:
    """Return the mail that SES stored in this form. message_id: None to read it from SES's Received field."""
    try:
        headers = parse_header(raw)
    except MalformedHeader as e:
        raise OperatorError(f"this is not a mail: {e}") from e
    fields = InboundMail(
        message_id=message_id or _NO_ID,
        recipients=(),
        envelope_from=_NO_ID,
        headers=headers,
        headers_truncated=False,
        verdicts=Verdicts(*[Verdict.GRAY] * 5),
        received_at=operator.clock(),
    )
    hop = next((read_hop(value, message_id) for value in fields.values("Received")[:1]), None)
    if hop is None:
        operator.warn(
            "SES's own fields are not on top of this mail: nothing proves where it came from, so no verdict"
            " and no IP counts; its To and Cc fields are used as its envelope recipients"
        )
        return replace(fields, recipients=_addressed(fields))
    mail = replace(
        fields,
        message_id=hop.message_id,
        recipients=(hop.recipient.strip("<>"),) if hop.recipient else _addressed(fields),
        envelope_from=next(iter(fields.values("Return-Path")), _NO_ID).strip("<> "),
        received_at=_date(hop.date) or operator.clock(),
    )
    if not hop.recipient:
        operator.warn("SES names no envelope recipient: the To and Cc fields are used instead")
    return replace(mail, verdicts=_verdicts(operator, mail))


def _addressed(mail: InboundMail) -> tuple[str, ...]:
    fields = [*mail.values("To"), *mail.values("Cc")]
    try:
        return tuple(address for _, address in getaddresses(fields) if address)
    except RecursionError:  # the parser calls itself for each comment in a comment, and for each group
        return ()


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _verdicts(operator: Operator, mail: InboundMail) -> Verdicts:
    results = [result[0].lower().partition("=") for result in authentication_results(mail) if result]
    if not results:
        operator.warn(
            "SES's Authentication-Results is missing or ambiguous: spf, dkim and dmarc count as GRAY"
        )
    found = {
        method: {word for name, _, word in results if name == method} for method in ("spf", "dkim", "dmarc")
    }
    return Verdicts(
        spam=_scan(mail, "X-SES-Spam-Verdict"),
        virus=_scan(mail, "X-SES-Virus-Verdict"),
        **{method: _best(words) for method, words in found.items()},
    )


def _scan(mail: InboundMail, name: str) -> Verdict:
    word = next(iter(mail.values(name)), "")
    return Verdict(word) if word in Verdict else Verdict.UNKNOWN


def _best(words: set[str]) -> Verdict:
    """Return the best verdict: one valid signature is enough for SES's dkim verdict PASS."""
    return next((verdict for word, verdict in _RESULTS.items() if word in words), Verdict.GRAY)


# --- The answer ---


def _notes(
    operator: Operator, row: Mapping[str, Any], request_id: str, decision: Decision
) -> tuple[str, ...]:
    """Return in words what the requests table knows of a mail and its requester."""
    notes = []
    if row:
        reason = f" ({shown(row['reason'])})" if "reason" in row else ""
        notes.append(
            f"this request was decided on {moment(row.get('decided_at'))} and is {shown(row.get('status'))}"
            f"{reason}: see `quarantine requests show {request_id}`"
        )
    requester = decision.requester
    until = None if requester is None else operator.requests.cooldown_until(requester)
    if until is not None and until > operator.clock():
        notes.append(
            f"{requester} asked for a report recently: the cooldown ends on {moment(until.isoformat())}"
        )
    return tuple(notes)


def _answer(
    operator: Operator, mail: InboundMail, number: int, decision: Decision, notes: tuple[str, ...]
) -> None:
    answer: dict[str, Any] = {
        "message_id": request_id(mail, number),
        "received_at": mail.received_at.isoformat(),
        "requester": decision.requester and str(decision.requester),
        "evidence": evidence(mail),
        "notes": list(notes),
    }
    match decision:
        case Refused(reason, detail):
            answer |= {
                "decision": "refused",
                "reason": reason.value,
                "meaning": MEANING[reason],
                "detail": detail,
                "advice": ADVICE[reason],
            }
        case Accepted(mailboxes=mailboxes, accepted_by=detail, command=command):
            answer |= {
                "decision": "accepted",
                "command": _asked(command),
                "detail": detail,
                "mailboxes": [str(mailbox) for mailbox in mailboxes],
            }
    operator.say("\n".join(_sentences(answer)), **answer)


def _asked(command: Command) -> str:
    match command:
        case ReportCommand():
            return "report"
        case ActionCommand(action, reference):
            return f"{action} {shortened(str(reference))}"
        case RulingCommand(ruling, reference):
            return f"{ruling} {shortened(str(reference))}"
        case WishCommand(wish):
            return f"digest-{wish}"
        case DigestCommand():
            raise AssertionError("no mail asks for a digest")
        case _:
            assert_never(command)


def _sentences(answer: dict[str, Any]) -> Iterator[str]:
    requester = answer["requester"] or "an unknown sender"
    if answer["decision"] == "refused":
        yield f"Refused as {answer['reason']}: {answer['meaning']}."
        yield f"Intake sees: {shown(answer['detail'])}."
    else:
        mailboxes = ", ".join(answer["mailboxes"])
        if answer["command"] == "report":
            yield f"Accepted: {requester} gets a report of the mail held for {mailboxes}."
        else:
            yield f"Accepted: {requester} asks: {answer['command']}."
            if not answer["command"].startswith("digest-"):
                yield f"Act does it if the message is held for {mailboxes}."
        yield f"Accepted by: {shown(answer['detail'])}."
    yield f"The mail: request {answer['message_id']} of {requester}."
    yield from arrival(answer["evidence"], answer["received_at"])
    if answer["decision"] == "refused":
        yield f"What to do: {answer['advice']}"
    for note in answer["notes"]:
        yield f"Note: {note}."
