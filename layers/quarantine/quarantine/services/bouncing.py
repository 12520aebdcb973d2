"""Bouncing: a delivery report about a released message is read, recorded, and handed to feedback."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from quarantine.acting.ways import read_bounce_code
from quarantine.asking.admission import Refusal, Refused
from quarantine.asking.event import InboundMail
from quarantine.feedback.report import read_delivery_report
from quarantine.jobs import BounceJob
from quarantine.outbox import Jobs
from quarantine.stores.objects import InboundObjects
from quarantine.stores.requests import Admitted, Bounce, Known, Requests


def bounce_code_of(mail: InboundMail) -> str | None:
    """Return the letters of the address that a delivery report is written to; None for any other mail."""
    if mail.envelope_from:  # RFC 5321 4.5.5: a delivery report has an empty one
        return None
    locals_ = (recipient.rpartition("@")[0] for recipient in mail.recipients)
    return next(filter(None, map(read_bounce_code, locals_)), None)


@dataclass(frozen=True, slots=True)
class Bouncing:
    """Reads delivery reports. Whoever knows the address of a release may say that it failed."""

    mails: InboundObjects
    requests: Requests
    jobs: Jobs

    def take(
        self, mail: InboundMail, code: str, evidence: Mapping[str, str], now: datetime
    ) -> Bounce | Known | Refused:
        """Record a report, and queue its job; return why it is none, or that it was taken before."""
        of_request = self.requests.bounced(code, now)
        if of_request is None:
            return Refused(Refusal.NOT_A_TRIGGER, "no release has the address that it was written to")
        report = read_delivery_report(self.mails.start_of(mail.message_id))
        if report is None or not report.has_failed:
            what = "not a delivery report" if report is None else "a report of a mail that has not failed"
            refused = Refused(Refusal.AUTOMATIC, f"{what}, to the address of a release")
            known = self.requests.refuse(mail.message_id, refused, evidence, mail.received_at, now)
            return known or refused
        bounce = Bounce(mail.message_id, of_request, mail.received_at, report.detail)
        admission = self.requests.record_bounce(bounce, evidence, now)
        if isinstance(admission, Admitted):
            self.jobs.put(BounceJob(bounce.request_id), group=of_request)
            return bounce
        return admission
