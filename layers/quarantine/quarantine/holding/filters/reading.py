"""The fields of all families, read together.

The worst reason counts, in this order: virus, phishing, policy, blocked, spam, bulk. So a field that the
sender wrote can make a reason worse, but never milder than the filter's. The recipients come from the first
family that names any, in the order of Family, and only from fields above the first Received field, which no
sender can write.
"""

from collections.abc import Collection

from quarantine.holding.filters import amavis, microsoft, rspamd, ses, spamassassin
from quarantine.holding.filters.family import Family
from quarantine.holding.filters.finding import Finding, worst
from quarantine.mail.lenient import Fields

_MODULES = {
    Family.AMAVIS: amavis,
    Family.RSPAMD: rspamd,
    Family.SPAMASSASSIN: spamassassin,
    Family.MICROSOFT: microsoft,
    Family.SES: ses,
}
FIELDS: frozenset[bytes] = frozenset().union(*(module.FIELDS for module in _MODULES.values()))
"""The names of all fields that any family reads, in lower case."""


def marks(families: Collection[Family]) -> frozenset[bytes]:
    """Return the names, in lower case, of the fields in which these filters say spam or name recipients.

    A released mail has none of them: a mail program would put it into the junk folder again.
    """
    return frozenset().union(*(_MODULES[family].MARKS for family in families))


def read_all(fields: Fields, families: Collection[Family]) -> Finding:
    """Return what these families' fields say together."""
    findings = [_MODULES[family].read(fields) for family in Family if family in families]
    reason = worst(each.reason for each in findings)
    # The family that gives the reason also gives the score.
    by_reason = sorted(findings, key=lambda each: each.reason is not reason)
    return Finding(
        reason,
        next((each.score for each in by_reason if each.score is not None), None),
        next((each.recipients for each in findings if each.recipients is not None), None),
    )
