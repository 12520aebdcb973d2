"""`quarantine requests`: who asked for a report, when, and with what outcome."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, assert_never

import typer

from ops import arguments
from ops.operator import Operator, OperatorError
from ops.words import ADVICE, AFTER, MAIL, MEANING, WHAT_NEXT, arrival, moment, shown
from quarantine.acting.reference import shortened
from quarantine.asking.admission import Refusal
from quarantine.feedback.fate import Fate
from quarantine.stores.requests import RETENTION_OF_REQUESTS, CommandWord, RequestStatus, is_order

app = typer.Typer(help="The requests for a report, and their outcomes.", no_args_is_help=True)

type Row = Mapping[str, Any]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6})([mhdw])")
COLUMNS = ("received_at", "requester", "status", "reason", "messages", "delivery", "command", "request_id")


@app.command("list")
def list_(
    context: typer.Context,
    requester: Annotated[str | None, typer.Option(help="Whose requests.", metavar="ADDRESS")] = None,
    mailbox: Annotated[
        str | None,
        typer.Option(help="Only requests about this mailbox, whoever asked. Reads the whole table."),
    ] = None,
    status: Annotated[RequestStatus | None, typer.Option(help="Only requests with this status.")] = None,
    reason: Annotated[Refusal | None, typer.Option(help="Only requests refused for this reason.")] = None,
    delivery: Annotated[Fate | None, typer.Option(help="Only requests whose mail ended like this.")] = None,
    since: Annotated[
        str | None, typer.Option(help="How far back: 30m, 6h, 2d, 1w, or an ISO 8601 time.", metavar="TIME")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The most requests to list.")] = 50,
) -> None:
    """List requests, newest first."""
    operator: Operator = context.obj
    earliest = since_when(since, operator.clock()) if since else None
    who = arguments.address(requester) if requester else None
    whose = str(arguments.address(mailbox)) if mailbox else None
    found = operator.requests.all() if who is None else operator.requests.of_requester(who, earliest)
    wanted = (
        row
        for row in found
        if _is_wanted(row, status, reason, delivery, earliest, operator.clock())
        and (whose is None or _is_about(row, whose))
    )
    rows = list(islice(wanted if who else _newest_first(wanted), limit + 1))
    if len(rows) > limit:
        operator.warn(f"there are more than these {limit}: raise --limit, or narrow the search")
    operator.answer(
        COLUMNS,
        map(_listed, rows[:limit]),
        empty="no such request: mail to an address that we do not know is only in intake's log",
    )


@app.command()
def show(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The SES message id.", metavar="REQUEST-ID")],
) -> None:
    """Describe what happened to one request, and what to do."""
    operator: Operator = context.obj
    row = operator.requests.find(request_id)
    if "status" not in row:
        raise OperatorError(
            f"no request {shown(request_id)}: the id is the SES message id that `quarantine requests list`"
            f" shows. Requests are kept for {RETENTION_OF_REQUESTS.days} days, and mail to an address that"
            " we do not know is not recorded: `quarantine why` judges the stored mail"
        )
    operator.say("\n".join(story(row)), **_with_short_reference(row))


def _listed(row: Row) -> Row:
    """Return a row for a list. A refused request, and an old one, names no command."""
    return {"command": CommandWord.REPORT if "mailboxes" in row else None, **_with_short_reference(row)}


def _with_short_reference(row: Row) -> Row:
    """Return a row without the code of a held message: until act has served it, the row has the whole one."""
    asked = row.get("asked", {})
    if "reference" not in asked:
        return row
    return {**row, "asked": {**asked, "reference": shortened(str(asked["reference"]))}}


def since_when(text: str, now: datetime) -> datetime:
    """Read a span such as `2d`, or an ISO 8601 time, as UTC if it has no offset."""
    try:
        if span := _SPAN.fullmatch(text):
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise typer.BadParameter(
            f"{text!r} is not a time: use 30m, 6h, 2d, 1w or 2026-11-23T12:00", param_hint="--since"
        ) from e


def story(row: Row) -> Iterator[str]:
    """Describe a request in sentences: how it was received, the decision, the outcome, and what to do."""
    status = RequestStatus(row["status"])
    if row.get("command") == CommandWord.BOUNCE:
        yield from _bounce_story(row, status)
        return
    requester = row.get("requester", "an unknown sender")
    yield f"Request {shown(row['request_id'])} of {shown(requester)}: {status}."
    if is_order(row):
        yield f"An operator ordered it on {_moment_of(row, 'received_at')} with `quarantine held release`."
    elif _is_digest(row):
        yield f"It is a scheduled report, for {_time_of_schedule(row)}."
    else:
        yield from arrival(row.get("evidence", {}), row.get("received_at", "unknown"))
    yield from _action(row)
    if status is RequestStatus.REFUSED and "finished_at" in row:  # intake had accepted it
        refusal = Refusal(row["reason"])
        yield f"Act refused it on {_moment_of(row, 'finished_at')} as {refusal}: {MEANING[refusal]}."
        yield f"What to do: {ADVICE[refusal]}"
    elif status is RequestStatus.REFUSED:
        refusal = Refusal(row["reason"])
        yield f"Intake refused it on {_moment_of(row, 'decided_at')} as {refusal}: {MEANING[refusal]}."
        yield f"It saw: {shown(row.get('detail', 'nothing'))}."
        yield f"What to do: {ADVICE[refusal]}"
    else:
        if not is_order(row):
            detail = shown(row.get("detail", "unknown"))
            who = "Digest asked for" if _is_digest(row) else "Intake accepted"
            yield f"{who} it on {_moment_of(row, 'decided_at')}: {detail}."
        yield from _outcome(row, status)
        yield from _fates(row)
        yield f"What to do: {_next_step(row, status)}"


def _bounce_story(row: Row, status: RequestStatus) -> Iterator[str]:
    """Describe a delivery report about a released message."""
    release = shown(row["of_request"])
    yield f"Delivery report {shown(row['request_id'])}: {status}."
    yield from arrival(row.get("evidence", {}), row.get("received_at", "unknown"))
    said = shown(row["detail"]) or "nothing"
    yield f"It says that the mail of request {release} did not arrive. The mail server's words: {said}."
    if status is RequestStatus.DONE:
        yield f"Feedback finished on {_moment_of(row, 'finished_at')}."
        yield f"What to do: see what became of the message: quarantine requests show {release}"
    else:
        yield "Feedback has not finished it."
        yield "What to do: wait. If this lasts for minutes: quarantine redrive --queue feedback --dry-run"


def _action(row: Row) -> Iterator[str]:
    """Say what an action was about; nothing for a report."""
    if row.get("command") in {CommandWord.DIGEST_ON, CommandWord.DIGEST_OFF}:
        yield f"It asks for: {shown(row['command'])}, for themselves."
    elif _worker(row) == "Act":
        reference = shortened(shown(row.get("asked", {}).get("reference", "unknown")))
        held = f", a message of {shown(row['held_recipient'])}" if "held_recipient" in row else ""
        yield f"It asks for: {shown(row['command'])} {reference}{held}."


def _worker(row: Row) -> str:
    """Return the function that serves a request."""
    reports = {CommandWord.REPORT, CommandWord.DIGEST}
    return "Report" if row.get("command", CommandWord.REPORT) in reports else "Act"


def _is_digest(row: Row) -> bool:
    return row.get("command") == CommandWord.DIGEST


def _time_of_schedule(row: Row) -> str:
    due_at = row.get("asked", {}).get("due_at", 0)
    return moment(datetime.fromtimestamp(int(due_at), UTC).isoformat())


def _outcome(row: Row, status: RequestStatus) -> Iterator[str]:
    worker, finished = _worker(row), _moment_of(row, "finished_at")
    ses, reason = (shown(row.get(name, "unknown")) for name in ("ses_message_id", "reason"))
    match status:
        case RequestStatus.ACCEPTED if "reason" in row:
            yield f"{worker} failed with {reason}, and will retry."
        case RequestStatus.ACCEPTED:
            yield f"{worker} has not started on it."
        case RequestStatus.SENDING if "waits_until" in row:
            end = moment(datetime.fromtimestamp(row["waits_until"], UTC).isoformat())
            yield f"An agent is to deliver the message. Act waits for it until {end}."
        case RequestStatus.SENDING:
            until = datetime.fromtimestamp(row.get("lease_until", 0), UTC)
            yield f"{worker} is working on it; its lease ends on {moment(until.isoformat())}."
        case RequestStatus.SENT:
            held = row.get("messages", "unknown")
            yield f"Report finished on {finished}: held messages {held}, and SES accepted the mail as {ses}."
        case RequestStatus.EMPTY:
            answer = (
                f"SES accepted the mail that says so as {ses}"
                if "ses_message_id" in row
                else "no mail was sent"
            )
            new = "new " if _is_digest(row) else ""
            yield f"Report finished on {finished}: nothing {new}was held, and {answer}."
        case RequestStatus.DONE:
            answer = shown(row.get("answer", "unknown"))
            sent = f", and SES accepted the mail as {ses}" if "ses_message_id" in row else ""
            yield f"Act finished on {finished}: {answer}{sent}."
        case RequestStatus.FAILED:
            yield f"{worker} gave up on {finished}: SES will never accept this mail; its error is {reason}."
        case RequestStatus.REFUSED:  # no job was queued
            return
        case _:
            assert_never(status)


def _fates(row: Row) -> Iterator[str]:
    """Describe what became of each mail that was sent for a request."""
    for prefix, mail in MAIL.items():
        if prefix in row:
            at, detail = _moment_of(row, f"{prefix}_at"), shown(row.get(f"{prefix}_detail", ""))
            said = f", in the words of SES and of the mail server: {detail}" if detail else ""
            yield f"{mail} was {shown(row[prefix])} on {at}{said}."
    if "told_at" in row:
        yield f"The requester was told on {_moment_of(row, 'told_at')} that the message did not arrive."


def _next_step(row: Row, status: RequestStatus) -> str:
    if "waits_until" in row:
        return "wait. If this lasts for minutes, see whether quarantine deliver runs: quarantine doctor"
    fate = str(row.get("delivery", ""))
    return AFTER[Fate(fate)] if fate in Fate else WHAT_NEXT[status]


def _moment_of(row: Row, name: str) -> str:
    return moment(row.get(name, "unknown"))


def _is_wanted(
    row: Row,
    status: RequestStatus | None,
    reason: Refusal | None,
    delivery: Fate | None,
    earliest: datetime | None,
    now: datetime,
) -> bool:
    return (
        (status is None or row["status"] == status)
        and (reason is None or (row["status"] == RequestStatus.REFUSED and row["reason"] == reason))
        and (delivery is None or row.get("delivery") == delivery)
        and (earliest is None or datetime.fromisoformat(row["received_at"]) >= earliest)
        and row.get("expires_at", now.timestamp()) >= now.timestamp()  # TTL deletes late
    )


def _is_about(row: Row, mailbox: str) -> bool:
    """Return whether a request is about a mailbox; a refused one names none but its requester."""
    if "held_recipient" in row:
        return bool(row["held_recipient"] == mailbox)
    return mailbox in row.get("mailboxes", (row.get("requester"),))


def _newest_first(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["received_at"], row["request_id"]), reverse=True)
