"""What each family's fields say: the reason, the score and the recipients of a held mail.

The fields of each case are as that filter writes them; `NEXT_HOP` separates them from those of the sender.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from quarantine.holding.filters.finding import Finding, worst
from quarantine.holding.filters.reading import FIELDS, read_all
from quarantine.mail.lenient import header_fields

SAMPLES = Path(__file__).parents[1] / "interop" / "samples"
NEXT_HOP = b"Received: from mail.example.net by mx.example.com; Mon, 23 Nov 2026 12:00:00 +0000\n"
BOB = b"bob@example.com"

type Recipients = Mapping[bytes, bytes] | None


def found(header: bytes, *families: Family) -> Finding:
    """Read a header section with these families, or with all, with the sender's part below it."""
    # The sender wrote the fields below it.
    fields = header_fields(header + b"\nReceived: by mx.example.com\n\n", FIELDS | {b"received"})
    return read_all(fields, families or frozenset(Family))


def finding(reason: HoldReason | None, score: str | None = None, recipients: Recipients = None) -> Finding:
    return Finding(reason, None if score is None else Decimal(score), recipients)


AMAVIS = [
    pytest.param(b"X-Spam-Flag: YES\nX-Spam-Score: 9.2", HoldReason.SPAM, "9.2", None, id="spam"),
    pytest.param(b"X-Spam-Flag: NO\nX-Spam-Score: -1.9", None, "-1.9", None, id="not spam"),
    pytest.param(
        b"X-Amavis-Alert: INFECTED, message contains virus: Eicar-Test-Signature",
        *(HoldReason.VIRUS, None, None),
        id="infected",
    ),
    pytest.param(
        b"X-Amavis-Alert: BANNED, message contains part: .exe,bad.exe",
        *(HoldReason.POLICY, None, None),
        id="banned",
    ),
    pytest.param(
        b"X-Amavis-Alert: BAD HEADER SECTION, Non-encoded 8-bit data",
        *(HoldReason.POLICY, None, None),
        id="bad header",
    ),
    pytest.param(
        b"X-Amavis-Alert: BAD HEADER SECTION, x\nX-Spam-Flag: YES",
        *(HoldReason.SPAM, None, None),
        id="spam with a bad header",
    ),
    pytest.param(
        b"X-Amavis-Alert: BANNED, x\nX-Amavis-Alert: INFECTED, x\nX-Spam-Flag: YES",
        *(HoldReason.VIRUS, None, None),
        id="all at once",
    ),
    pytest.param(
        b"X-Envelope-To: <bob@example.com>, <al@example.com>\nX-Envelope-To-Blocked: <bob@example.com>",
        *(None, None, {b"x-envelope-to-blocked": b"<bob@example.com>"}),
        id="who did not get it",
    ),
    pytest.param(
        b"X-Envelope-To: <bob@example.com>,\n <al@example.com>",
        *(None, None, {b"x-envelope-to": b"<bob@example.com>, <al@example.com>"}),
        id="recipients, folded",
    ),
    pytest.param(
        b"X-Envelope-To: <bob@example.com>\nX-Envelope-To-Blocked:",
        *(None, None, {b"x-envelope-to-blocked": b""}),
        id="everybody has it",
    ),
    pytest.param(b"X-Quarantine-ID: <VGhx7Kc1bLrM>", None, None, None, id="its id says nothing"),
]
RSPAMD = [
    pytest.param(b"X-Spam-Action: reject", HoldReason.SPAM, None, None, id="reject"),
    pytest.param(b"X-Spam-Action: add header", HoldReason.SPAM, None, None, id="add header"),
    pytest.param(b"X-Rspamd-Action: quarantine", HoldReason.SPAM, None, None, id="X-Rspamd-Action"),
    *(
        pytest.param(b"X-Spam-Action: " + word, None, None, None, id=word.decode())
        for word in (b"no action", b"greylist", b"Soft Reject")
    ),
    pytest.param(
        b"X-Spamd-Result: default: True [26.00 / 15.00];\n GTUBE(26.00)[];\n ARC_NA(0.00)[]",
        *(HoldReason.SPAM, "26.00", None),
        id="result",
    ),
    pytest.param(
        b"X-Spamd-Result: default: False [-0.10 / 15.00];\n MIME_GOOD(-0.10)[text/plain]",
        *(None, "-0.10", None),
        id="harmless result",
    ),
    pytest.param(
        b"X-Rspamd-Score: 17.5\nX-Spamd-Result: default: True [26.00 / 15.00]; GTUBE(26.00)[]",
        *(HoldReason.SPAM, "17.5", None),
        id="a score of its own first",
    ),
    pytest.param(
        b"X-Spamd-Result: default: True [9 / 5]; PHISHED_OPENPHISH(7.00)[x.example]",
        *(HoldReason.PHISHING, "9", None),
        id="phishing by a list",
    ),
    pytest.param(
        b"X-Spamd-Result: default: True [9 / 5]; HACKED_WP_PHISHING(7.00)[]",
        *(HoldReason.PHISHING, "9", None),
        id="phishing by a hacked site",
    ),
    pytest.param(
        b"X-Spamd-Result: default: False [1 / 15]; PHISHING(1.00)[]",
        *(None, "1", None),
        id="a symbol alone is no verdict",
    ),
    pytest.param(
        b"X-Spamd-Result: default: False [0 / 15]; CLAM_VIRUS(0.00)[Eicar]",
        *(HoldReason.VIRUS, "0", None),
        id="virus, whatever the score",
    ),
    pytest.param(
        b"X-Spamd-Result: default: True [9 / 5]; R_VIRUSTOTAL(0.00)[]; ANTIVIRUS(0.00)[]",
        *(HoldReason.SPAM, "9", None),
        id="a name with virus in it",
    ),
    pytest.param(b"X-Spamd-Result: True", None, None, None, id="a result without numbers"),
    pytest.param(b"X-Rspamd-Queue-Id: 4a5b6c", None, None, None, id="its id says nothing"),
    pytest.param(
        b"Delivered-To: bob@example.com\nX-Spam-Action: reject",
        *(HoldReason.SPAM, None, {b"delivered-to": BOB}),
        id="delivered to",
    ),
]
SPAMASSASSIN = [
    pytest.param(b"X-Spam-Flag: YES", HoldReason.SPAM, None, None, id="flag"),
    pytest.param(
        b"X-Spam-Status: Yes, score=26.4 required=5.0 tests=GTUBE autolearn=no\n\tversion=4.0.1",
        *(HoldReason.SPAM, "26.4", None),
        id="status",
    ),
    pytest.param(b"X-Spam-Status: No, score=-2.3 required=5.0 tests=NONE", None, "-2.3", None, id="not spam"),
    pytest.param(
        b"X-Spam-Flag: yes\nX-Spam-Score: 8.1", HoldReason.SPAM, "8.1", None, id="a score of its own"
    ),
    pytest.param(
        b"X-Spam-Score: 1\nX-Spam-Status: Yes, score=26.4 required=5.0",
        *(HoldReason.SPAM, "26.4", None),
        id="the status first",
    ),
    pytest.param(b"X-Spam-Status: Yes, hits=9", HoldReason.SPAM, None, None, id="no score"),
    pytest.param(b"Delivered-To: bob@example.com", None, None, None, id="it knows no recipients"),
]
MICROSOFT = [
    *(
        pytest.param(
            b"X-Forefront-Antispam-Report: CIP:192.0.2.1;CTRY:;LANG:en;SCL:1;SFV:NSPM;CAT:%b;SFS:(1);"
            % category,
            *(reason, "1", None),
            id=category.decode(),
        )
        for category, reason in [
            (b"MALW", HoldReason.VIRUS),
            (b"AMP", HoldReason.VIRUS),
            (b"SAP", HoldReason.VIRUS),
            (b"PHSH", HoldReason.PHISHING),
            (b"HPHSH", HoldReason.PHISHING),
            (b"HPHISH", HoldReason.PHISHING),
            (b"SPOOF", HoldReason.PHISHING),
            (b"DIMP", HoldReason.PHISHING),
            (b"GIMP", HoldReason.PHISHING),
            (b"UIMP", HoldReason.PHISHING),
            (b"INTOS", HoldReason.PHISHING),
            (b"FTBP", HoldReason.POLICY),
            (b"SPM", HoldReason.SPAM),
            (b"HSPM", HoldReason.SPAM),
            (b"OSPM", HoldReason.SPAM),
            (b"BULK", HoldReason.BULK),
            (b"NONE", None),
            (b"NEWS", None),
            (b"", None),
        ]
    ),
    pytest.param(b"X-MS-Exchange-Organization-SCL: 5", HoldReason.SPAM, "5", None, id="level of spam"),
    pytest.param(b"X-MS-Exchange-Organization-SCL: 9", HoldReason.SPAM, "9", None, id="high confidence"),
    pytest.param(b"X-MS-Exchange-Organization-SCL: 4", None, "4", None, id="level below spam"),
    pytest.param(b"X-MS-Exchange-Organization-SCL: -1", None, "-1", None, id="trusted"),
    pytest.param(b"X-Forefront-Antispam-Report: SCL:6", HoldReason.SPAM, "6", None, id="level in the report"),
    pytest.param(
        b"X-Forefront-Antispam-Report: CAT:BULK; SCL:6", HoldReason.BULK, "6", None, id="the category first"
    ),
    pytest.param(
        b"X-MS-Exchange-Organization-SCL: 1\nX-Forefront-Antispam-Report: SCL:6",
        *(HoldReason.SPAM, "6", None),
        id="the higher level",
    ),
    pytest.param(
        b"X-Forefront-Antispam-Report: CAT:SPM\nX-Forefront-Antispam-Report: CAT:PHSH",
        *(HoldReason.PHISHING, None, None),
        id="the worse category",
    ),
    pytest.param(b"X-Forefront-Antispam-Report: XCAT:MALW;H:CAT:MALW", None, None, None, id="no category"),
]
SES = [
    pytest.param(b"X-SES-Spam-Verdict: FAIL", HoldReason.SPAM, None, None, id="spam"),
    pytest.param(b"X-SES-Virus-Verdict: FAIL", HoldReason.VIRUS, None, None, id="virus"),
    pytest.param(
        b"X-SES-Spam-Verdict: FAIL\nX-SES-Virus-Verdict: FAIL", HoldReason.VIRUS, None, None, id="both"
    ),
    *(
        pytest.param(
            b"X-SES-Spam-Verdict: %b\nX-SES-Virus-Verdict: %b" % (word, word),
            *(None, None, None),
            id=word.decode(),
        )
        for word in (b"PASS", b"GRAY", b"PROCESSING_FAILED", b"DISABLED", b"FAILED")
    ),
]
COLUMNS = ("header", "reason", "score", "recipients")


@pytest.mark.parametrize(COLUMNS, AMAVIS)
def test_amavis(header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients) -> None:
    assert found(header, Family.AMAVIS) == finding(reason, score, recipients)


@pytest.mark.parametrize(COLUMNS, RSPAMD)
def test_rspamd(header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients) -> None:
    assert found(header, Family.RSPAMD) == finding(reason, score, recipients)


@pytest.mark.parametrize(COLUMNS, SPAMASSASSIN)
def test_spamassassin(
    header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients
) -> None:
    assert found(header, Family.SPAMASSASSIN) == finding(reason, score, recipients)


@pytest.mark.parametrize(COLUMNS, MICROSOFT)
def test_microsoft(
    header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients
) -> None:
    assert found(header, Family.MICROSOFT) == finding(reason, score, recipients)


@pytest.mark.parametrize(COLUMNS, SES)
def test_ses(header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients) -> None:
    assert found(header, Family.SES) == finding(reason, score, recipients)


# --- As the filters themselves wrote them ---

BOTH = b"<alice@example.com>, <bob@example.com>"


@pytest.mark.parametrize(
    ("sample", "reason", "score", "recipients"),
    [
        pytest.param("amavis", HoldReason.SPAM, "1004.7", {b"x-envelope-to-blocked": BOTH}, id="amavis"),
        pytest.param("rspamd", HoldReason.SPAM, "22.40", None, id="rspamd, a milter"),
        pytest.param("spamassassin", HoldReason.SPAM, "1004.7", None, id="SpamAssassin, a milter"),
        pytest.param("spamassassin-spamc", HoldReason.SPAM, "1004.7", None, id="SpamAssassin, a pipe"),
    ],
)
def test_a_mail_of_a_real_filter(
    sample: str, reason: HoldReason | None, score: str | None, recipients: Recipients
) -> None:
    assert found((SAMPLES / f"{sample}.eml").read_bytes()) == finding(reason, score, recipients)


# --- Together ---


@pytest.mark.parametrize(
    COLUMNS,
    [
        pytest.param(
            b"X-SES-Virus-Verdict: FAIL\nX-Spam-Flag: YES\nX-Spam-Score: 9",
            *(HoldReason.VIRUS, "9", None),
            id="the worst reason, the only score",
        ),
        pytest.param(
            b"X-Spam-Flag: NO\nX-Spam-Score: 1.5\nX-Forefront-Antispam-Report: CAT:PHSH;SCL:8",
            *(HoldReason.PHISHING, "8", None),
            id="who gives the reason gives the score",
        ),
        pytest.param(
            b"X-Rspamd-Score: 4\nX-MS-Exchange-Organization-SCL: 2",
            *(None, "4", None),
            id="no reason, the first score",
        ),
        pytest.param(
            b"Delivered-To: al@example.com\nX-Envelope-To: <bob@example.com>",
            *(None, None, {b"x-envelope-to": b"<bob@example.com>"}),
            id="recipients of the first family",
        ),
        pytest.param(
            b"Delivered-To: al@example.com\nX-Envelope-To-Blocked:",
            *(None, None, {b"x-envelope-to-blocked": b""}),
            id="an empty answer is one",
        ),
        pytest.param(b"Subject: x", None, None, None, id="no filter's field"),
        pytest.param(b"", None, None, None, id="no field"),
    ],
)
def test_families_together(
    header: bytes, reason: HoldReason | None, score: str | None, recipients: Recipients
) -> None:
    assert found(header) == finding(reason, score, recipients)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        pytest.param(list(HoldReason), HoldReason.VIRUS, id="virus"),
        pytest.param([HoldReason.POLICY, HoldReason.PHISHING], HoldReason.PHISHING, id="phishing"),
        pytest.param([HoldReason.BLOCKED, HoldReason.POLICY], HoldReason.POLICY, id="policy"),
        pytest.param([HoldReason.SPAM, HoldReason.BLOCKED], HoldReason.BLOCKED, id="blocked"),
        pytest.param([HoldReason.BULK, HoldReason.SPAM], HoldReason.SPAM, id="spam"),
        pytest.param([None, HoldReason.BULK], HoldReason.BULK, id="bulk"),
        pytest.param([None], None, id="none"),
    ],
)
def test_the_worst_reason(reasons: list[HoldReason | None], expected: HoldReason | None) -> None:
    assert worst(reasons) is expected
    assert worst(reversed(reasons)) is expected


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_a_severity(reason: HoldReason) -> None:
    assert worst([reason]) is reason


SAYS = {
    Family.AMAVIS: b"X-Amavis-Alert: INFECTED, x",
    Family.RSPAMD: b"X-Spam-Action: reject",
    Family.SPAMASSASSIN: b"X-Spam-Status: Yes, score=9",
    Family.MICROSOFT: b"X-Forefront-Antispam-Report: CAT:PHSH",
    Family.SES: b"X-SES-Spam-Verdict: FAIL",
}


@pytest.mark.parametrize("family", Family)
def test_a_family_that_is_switched_off_says_nothing(family: Family) -> None:
    others = [each for each in Family if each is not family]
    assert found(SAYS[family], family).reason is not None
    assert found(SAYS[family], *others) == Finding()


def test_without_a_family_no_field_says_anything() -> None:
    header = b"Delivered-To: bob@example.com\nX-Envelope-To: <bob@example.com>\n" + b"\n".join(SAYS.values())
    fields = header_fields(header + b"\n\n", FIELDS)
    assert read_all(fields, frozenset()) == Finding()


# --- What a sender can write ---


@pytest.mark.parametrize("name", [b"X-Envelope-To", b"X-Envelope-To-Blocked", b"Delivered-To"])
@pytest.mark.parametrize(
    "above",
    [
        pytest.param(b"", id="only the sender's"),
        pytest.param(b"X-Spam-Flag: YES\nReturn-Path: <>\n", id="below a filter that names nobody"),
        pytest.param(b"received: by a\nX-Spam-Flag: YES\n", id="below two hops"),
    ],
)
def test_a_senders_field_names_no_recipient(name: bytes, above: bytes) -> None:
    assert found(above + NEXT_HOP + name + b": victim@example.com").recipients is None


@pytest.mark.parametrize("name", [b"X-Envelope-To", b"X-Envelope-To-Blocked", b"Delivered-To"])
def test_a_senders_field_changes_no_recipient(name: bytes) -> None:
    above = name + b": bob@example.com\n"
    assert found(above + NEXT_HOP + name + b": victim@example.com").recipients == {name.lower(): BOB}


FORGED = st.lists(
    st.sampled_from(
        [
            *SAYS.values(),
            *(b"X-Spam-Flag: NO", b"X-Spam-Status: No, score=-99", b"X-Spam-Score: -99"),
            *(b"X-Spam-Action: no action", b"X-Spamd-Result: default: False [-99.0 / 15.0]"),
            *(b"X-Rspamd-Action: greylist", b"X-Rspamd-Score: -99", b"X-Rspamd-Queue-Id: x"),
            *(b"X-Forefront-Antispam-Report: CAT:NONE;SCL:-1", b"X-MS-Exchange-Organization-SCL: -1"),
            *(b"X-Forefront-Antispam-Report: CAT:BULK", b"X-Amavis-Alert: clean", b"X-Quarantine-ID: x"),
            *(b"X-SES-Spam-Verdict: PASS", b"X-SES-Virus-Verdict: PASS"),
            *(b"Delivered-To: victim@example.com", b"X-Envelope-To: <victim@example.com>"),
        ]
    ),
    max_size=5,
)
TRUE = st.lists(
    st.sampled_from([*SAYS.values(), b"X-Spam-Flag: YES", b"X-Amavis-Alert: BANNED, x"]), max_size=3
)


@given(TRUE, FORGED)
def test_a_senders_field_makes_a_reason_worse_and_never_milder(
    true: list[bytes], forged: list[bytes]
) -> None:
    above = b"".join(line + b"\n" for line in true) + NEXT_HOP
    alone, both = found(above), found(above + b"\n".join(forged))
    assert worst([alone.reason, both.reason]) is both.reason
    assert both.recipients is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"9", "9", id="whole"),
        pytest.param(b"+9.25", "9.25", id="signed"),
        pytest.param(b"-0.1 (required 5)", "-0.1", id="with more behind it"),
        pytest.param(b"999999.999999", "999999.999999", id="the largest"),
        pytest.param(b"", None, id="none"),
        pytest.param(b"high", None, id="a word"),
        pytest.param(b"NaN", None, id="NaN"),
        pytest.param(b"Infinity", None, id="infinity"),
        pytest.param(b".5", None, id="no digit first"),
        pytest.param("９".encode(), None, id="full-width"),
        pytest.param("١".encode(), None, id="Arabic"),
        pytest.param(b"--9", None, id="two signs"),
        pytest.param(b"\xff", None, id="8 bits"),
    ],
)
def test_a_score(text: bytes, expected: str | None) -> None:
    assert found(b"X-Spam-Score: " + text).score == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"9" * 40, id="too many digits"),
        pytest.param(b"9E400", id="exponent"),
        pytest.param(b"1_0", id="underscore"),
    ],
)
def test_a_hostile_number_is_one_that_the_table_holds(text: bytes) -> None:
    """DynamoDB has 38 digits and 126 powers of ten; all scores that are read are far below that."""
    score = found(b"X-Spam-Score: " + text + b"\nX-MS-Exchange-Organization-SCL: " + text).score
    assert score is None or abs(score) < 10**6


@given(st.binary(max_size=60))
def test_any_bytes_in_any_field_are_read(value: bytes) -> None:
    for name in sorted(FIELDS):
        finding = found(name + b": " + value)
        assert finding.score is None or abs(finding.score) < 10**6
