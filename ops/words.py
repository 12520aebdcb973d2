"""The pipeline's words in plain language: what each means, and what to do about it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quarantine.asking.admission import Refusal
from quarantine.digests.rules import NoDigest
from quarantine.feedback.fate import Fate
from quarantine.mail.text import clean_text
from quarantine.stores.items import iso_seconds, time
from quarantine.stores.requests import RequestStatus

MEANING: Mapping[Refusal, str] = {
    Refusal.NOT_A_TRIGGER: "no envelope recipient has the trigger as its local part",
    Refusal.AUTOMATIC: "a machine wrote it, and an answer could loop",
    Refusal.AMBIGUOUS_SENDER: "it has no single From address that can be read in only one way",
    Refusal.INFECTED: "SES found a virus in it",
    Refusal.SPAM: "SES classified it as spam",
    Refusal.DENIED: "an auth record denies the address or its domain",
    Refusal.UNAUTHENTICATED: "nothing proves that the From address wrote it",
    Refusal.REPLAYED: "only a signature proves it, which anyone who holds the mail could use again",
    Refusal.TOO_SOON: "the requester's mailbox asked within the cooldown",
    Refusal.TOO_MUCH: "the mailbox or its domain made all the requests that it may in this hour, or one mail"
    " asks for more than ten things",
    Refusal.NOT_YOURS: "no message in the requester's mailboxes, and no ask that they may answer, has the"
    " reference that they wrote to; or the Subject asks for the report of a mailbox that is not theirs",
}

ADVICE: Mapping[Refusal, str] = {
    Refusal.NOT_A_TRIGGER: "nothing, or give the user the right address. The trigger in the To field alone"
    " is not enough. Such a mail has no row, unless it was written to the sender of the reports: then it is"
    " a bounce of a report or an answer to one, and may need yours.",
    Refusal.AUTOMATIC: "nothing. If a person's mail program sets such a field, they must use another one.",
    Refusal.AMBIGUOUS_SENDER: "ask the user to write from a mail program that sets one plain From address:"
    " groups, routes, quoted local parts and a name or comment that shows another address are refused.",
    Refusal.INFECTED: "ask the user to write a plain new mail, without attachments.",
    Refusal.SPAM: "ask the user to write a plain new mail.",
    Refusal.DENIED: "if they should have reports, remove the record: quarantine auth remove PRINCIPAL.",
    Refusal.UNAUTHENTICATED: "if the mail came from a server of your own, let it relay: quarantine relay add"
    " DOMAIN IP. If the domain has DMARC, or its mail comes by a shared service, accept that: quarantine auth"
    " allow DOMAIN -m dmarc. Otherwise the mail may be forged: do nothing.",
    Refusal.REPLAYED: "ask the user to write a new mail to the trigger alone. If their company forwards"
    " mail to the trigger, allow it: quarantine auth allow DOMAIN -m dmarc --forwarded. If their server"
    " has IP addresses of its own, let it relay: quarantine relay add DOMAIN IP.",
    Refusal.TOO_MUCH: "nothing; or raise MailboxReportsPerHour, MailboxActionsPerHour or"
    " DomainRequestsPerHour.",
    Refusal.NOT_YOURS: "if the message is theirs, they may have written from another address than the report"
    " went to. For a shared mailbox, see quarantine auth allow --mailbox. The row may also have expired."
    " Otherwise somebody tried the reference of another's report: do nothing.",
    Refusal.TOO_SOON: "nothing; the earlier report is in their inbox, or its request says why not.",
}

NO_DIGEST: Mapping[NoDigest, str] = {
    NoDigest.NO_SCHEDULE: "no digest record covers the address. To set one: quarantine digest set DOMAIN"
    " --at 07:00",
    NoDigest.SWITCHED_OFF: "the digest record that covers the address says off",
    NoDigest.UNREADABLE: "the digest record that covers the address cannot be read: see quarantine"
    " digest list",
    NoDigest.UNKNOWN_DOMAIN: "only the record of * covers the address, and its domain has neither an auth"
    " nor a relay record",
    NoDigest.OUR_DOMAIN: "the address is at the domain of the reports, and could write to ourselves",
    NoDigest.DENIED: "an auth record denies the address or its domain",
    NoDigest.UNWANTED: "the reader wrote to digest-off; they can write to digest-on",
    NoDigest.BOUNCED: "a report to the address bounced or was complained of; any request from the address"
    " that is accepted ends this",
    NoDigest.UNPROVEN: "no request from the address was accepted within a year, and it has no record of its"
    " own. For all addresses of a domain: quarantine digest set DOMAIN --everyone",
}

WHAT_NEXT: Mapping[RequestStatus, str] = {
    RequestStatus.ACCEPTED: "wait: the job is on its queue. If this lasts for minutes, the job may be in the"
    " dead-letter queue: quarantine redrive --dry-run says why.",
    RequestStatus.SENDING: "wait: a function is working on it. If that run died, the job is retried when the"
    " lease ends. If the request is hours old, the job is in the dead-letter queue.",
    RequestStatus.REFUSED: "follow the advice for the refusal.",
    RequestStatus.SENT: "wait a minute: SES has not said yet what became of the mail. If it does not, check"
    " their inbox and their spam filter, and run quarantine doctor.",
    RequestStatus.DONE: "nothing, if the mail was delivered: it answers the user. If not, the lines above say"
    " what became of it.",
    RequestStatus.EMPTY: "nothing: no mail was held for them. They get a mail that says so only if WhenEmpty"
    " is reply.",
    RequestStatus.FAILED: "fix the cause that SES names (usually the report sender's identity, the sandbox or"
    " the suppression list), then ask the user to write again: this request is not retried.",
}


MAIL: Mapping[str, str] = {
    "delivery": "The mail",
    "answer_delivery": "The answer",
    "notice_delivery": "The notice",
}
"""A mail that was sent for a request, by the attribute that says what became of it."""

AFTER: Mapping[Fate, str] = {
    Fate.DELAYED: "wait: SES tries again for hours, and says so when it gives up.",
    Fate.DELIVERED: "if they did not get it, look behind their mail server, which accepted the mail: in their"
    " inbox, their junk folder, the quarantine of their own filter.",
    Fate.COMPLAINED: "find out who marked it as spam: a mail goes only to the address that asked. Can the"
    " record that accepted the request still be trusted?",
    Fate.BOUNCED: "the mail server says why. If the mailbox should accept mail, correct it there, remove the"
    " address from SES's suppression list (aws sesv2 delete-suppressed-destination), and let them ask again.",
    Fate.REJECTED: "SES found a virus in it and will not send it. If you know better: quarantine held fetch.",
}


def shown(value: object) -> str:
    """Return text that a sender may have chosen as one line that cannot control a terminal."""
    return clean_text(str(value))


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")


def moment(value: object) -> str:
    """Return a time as all output has it: ISO 8601, UTC, to the second. Other text stays as it is."""
    text = shown(value)
    try:
        return iso_seconds(time(text)) if _TIME.fullmatch(text) else text
    except (ValueError, OverflowError):
        return text


def arrival(evidence: Mapping[str, Any], received_at: object) -> Iterator[str]:
    """Describe when and how a mail was received, and SES's verdicts, from admission.evidence."""
    known = {name: shown(value) or "none" for name, value in evidence.items()}
    yield (
        f"It was received on {moment(received_at)} from the IP {known.get('connecting_ip', 'unknown')},"
        f" with From {known.get('from', 'unknown')} and the envelope sender"
        f" {known.get('envelope_from', 'unknown')}, for {known.get('recipients', 'unknown')}."
    )
    verdicts = (f"{name} {known.get(name, 'unknown')}" for name in ("spam", "virus", "spf", "dkim", "dmarc"))
    yield f"SES said: {', '.join(verdicts)}; valid DKIM signatures: {known.get('dkim_domains', 'unknown')}."
