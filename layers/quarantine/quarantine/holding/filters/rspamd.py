"""rspamd: the fields of its milter_headers module; the delivering server writes Delivered-To.

https://rspamd.com/doc/modules/milter_headers.html
"""

import re

from quarantine.held import HoldReason
from quarantine.holding.filters.finding import Finding, first_number, says_yes, texts
from quarantine.mail.lenient import Fields

ACTION, RSPAMD_ACTION, SPAM = b"x-spam-action", b"x-rspamd-action", b"x-spam"
RESULT, SCORE, QUEUE_ID = b"x-spamd-result", b"x-rspamd-score", b"x-rspamd-queue-id"
DELIVERED_TO = b"delivered-to"
FIELDS = frozenset({ACTION, RSPAMD_ACTION, SPAM, RESULT, SCORE, QUEUE_ID, DELIVERED_TO})
# Those of milter_headers, by their default names, of `rspamc --mime`, and of the recipes for Exim and Haraka.
# Not Delivered-To: below the first Received field it is that of an earlier server.
MARKS = (FIELDS - {DELIVERED_TO}) | {
    b"x-rspamd-pre-result",
    b"x-rspamd-server",
    b"x-rspamd-bar",
    b"x-rspamd-report",
    b"x-rspamd-fuzzy",
    b"x-spamd-bar",
    b"x-spam-flag",
    b"x-spam-status",
    b"x-spam-level",
    b"x-spam-score",
    b"x-spam-bar",
    b"x-spam-report",
    b"x-spam-symbols",
    b"x-spam-result",
    b"x-spam-scanner",
    b"x-virus",
    b"deliver-to",  # the routine spam-header: "Deliver-To: Junk"
}

_HARMLESS = frozenset({"", "no action", "greylist", "soft reject"})  # delivered, or deferred
_SYMBOL = re.compile(r";\s*([A-Z0-9_]+)\(")
_PHISHING = re.compile(r"(?:^|_)PHISH")  # PHISHING, PHISHED_OPENPHISH, HACKED_WP_PHISHING
_VIRUS = re.compile(r"(?:^|_)VIRUS(?:_|$)")  # CLAM_VIRUS, and the name of any other scanner before it
_RESULT = re.compile(r"[^:;]*:\s*(True|False)\s*\[([^/\]]*)/")  # default: True [26.00 / 15.00]; GTUBE(26.00)


def read(fields: Fields) -> Finding:
    results = list(texts(fields, RESULT))
    scores = [match[2] for result in results if (match := _RESULT.match(result))]
    return Finding(
        _reason(fields, results), first_number([*texts(fields, SCORE), *scores]), _recipients(fields)
    )


def _reason(fields: Fields, results: list[str]) -> HoldReason | None:
    symbols = [symbol for result in results for symbol in _SYMBOL.findall(result)]
    if any(map(_VIRUS.search, symbols)):
        return HoldReason.VIRUS
    actions = [text.lower() for name in (ACTION, RSPAMD_ACTION) for text in texts(fields, name)]
    # The result is True only for rejected mail: it is False for mail that is spam by its action.
    is_rejected = any(match[1] == "True" for result in results if (match := _RESULT.match(result)))
    is_bad = is_rejected or says_yes(fields, SPAM) or any(action not in _HARMLESS for action in actions)
    if not is_bad:
        return None
    return HoldReason.PHISHING if any(map(_PHISHING.search, symbols)) else HoldReason.SPAM


def _recipients(fields: Fields) -> dict[bytes, bytes] | None:
    return {DELIVERED_TO: fields.put_on[DELIVERED_TO]} if DELIVERED_TO in fields.put_on else None
