"""The mail that asks an administrator to release a message: facts and addresses first, its text last."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage

from quarantine.acting.asks import Ask
from quarantine.acting.offers import address_of
from quarantine.acting.rules import Ruling
from quarantine.asking.replying import ReplyContext
from quarantine.held import HeldMessage
from quarantine.holding.provenance import Provenance
from quarantine.mail.addresses import Address
from quarantine.previewing.preview import Preview
from quarantine.previewing.structure import CannotBeShown
from quarantine.reporting.composing import compose
from quarantine.reporting.markup import MailTemplates
from quarantine.reporting.preview import Facts

_TEMPLATES = MailTemplates("ask")


@dataclass(frozen=True, slots=True)
class _Question:
    """What an administrator answers. Times are UTC: nobody knows where an administrator is."""

    ask: Ask
    said: Provenance
    domain: str

    @property
    def until(self) -> datetime:
        return self.ask.expires_at

    @property
    def score(self) -> str:
        """The score as text; "" if there is none."""
        return "" if self.said.score is None else str(self.said.score)

    @property
    def approve(self) -> Address:
        return address_of(Ruling.APPROVE, self.ask.reference, self.domain)

    @property
    def refuse(self) -> Address:
        return address_of(Ruling.REFUSE, self.ask.reference, self.domain)


def render_ask(
    ask: Ask,
    message: HeldMessage,
    preview: Preview | CannotBeShown,
    said: Provenance,
    *,
    number: int,
    administrator: Address,
    domain: str,
    sender: Address,
    reply_to: Address | None,
    now: datetime,
) -> EmailMessage:
    """Return the mail to one administrator. The same arguments give the same mail.

    Nothing of the mail with which a reader asked is in it, but the address of that reader.
    number: of the administrator among those who are asked. domain: of the addresses that answer.
    """
    facts = Facts.of(preview, message, requester=administrator, zone=UTC)
    return compose(
        _TEMPLATES.render(facts=facts, question=_Question(ask, said, domain), reply_to=reply_to),
        kind=f"ask-{number}",
        request_id=ask.request_id,
        requester=administrator,
        reply=ReplyContext(),
        sender=sender,
        reply_to=reply_to,
        now=now,
    )
