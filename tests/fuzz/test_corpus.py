"""The fuzz targets with known inputs: the seeds, and the fuzzer's findings. `make fuzz` searches for more."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from quarantine.asking.event import InboundMail
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SEEDS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def _none(mail: InboundMail) -> None:
    """Report that no field is malformed."""


def _up_to_the_first_by(mail: InboundMail) -> str:
    return mail.values("Received")[0].partition(" by ")[0]


def _without_zone(value: bytes) -> datetime:
    return parsedate_to_datetime(value.decode().rpartition(";")[2]).replace(tzinfo=None)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: str(seed.relative_to(CORPUS)))
def test_a_seed_breaks_nothing(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


def test_every_target_has_seeds_and_every_folder_a_target() -> None:
    assert set(TARGETS) == {seed.parent.name for seed in SEEDS}


def test_the_corpus_stays_small() -> None:
    assert len(SEEDS) < 80
    assert sum(seed.stat().st_size for seed in SEEDS) < 200_000


@pytest.mark.parametrize(
    ("seed", "rule", "broken"),
    [
        pytest.param(
            *("event/lone_surrogate.json", "quarantine.asking.event._without_surrogates", str),
            id="a text that nothing can store",
        ),
        pytest.param(
            *("trace/ses_in_helo", "quarantine.asking.trace._client", _up_to_the_first_by),
            id="an IP address that a HELO name says",
        ),
        pytest.param(
            *("trace/result_in_signer", "quarantine.asking.trace._has_plain_signers", bool),
            id="a signer that a signature says",
        ),
        pytest.param(
            *("trace/property_in_domain", "quarantine.asking.trace._PLAIN_SIGNERS", {}),
            id="a signer that a domain says",
        ),
        pytest.param(
            *("trace/comment_in_domain", "quarantine.asking.trace._PLAIN_SIGNERS", {}),
            id="a comment that a domain begins",
        ),
        pytest.param(
            *("trace/result_in_helo", "quarantine.asking.trace._PLAIN_CLIENT", re.compile(".*")),
            id="a signer that a HELO name says",
        ),
        pytest.param(
            *("addresses/addr_spec", "quarantine.mail.addresses.normalise_domain", str),
            id="two spellings of one",
        ),
        pytest.param(
            *("header/long_message_id", "quarantine.mail.lenient._LONGEST_ID", 5000),
            id="a key that is too long",
        ),
        pytest.param("shown/scripts", "tests.fuzz.targets.defanged", str, id="a link"),
        pytest.param(
            "shown/scripts", "quarantine.mail.text._CONTINUED", "", id="a line that imitates a field"
        ),
        pytest.param(
            *(
                "release/amavis",
                "quarantine.release.deliverable._PUT_ON",
                re.compile(rb"^(x-spam-status).*\n", re.IGNORECASE | re.MULTILINE),
            ),
            id="a field that is cut in two",
        ),
        pytest.param("preview/page", "quarantine.previewing.bodies.defanged", str, id="a link in a preview"),
        pytest.param("preview/names", "quarantine.previewing.preview.defanged", str, id="a link in a name"),
        pytest.param("preview/parts", "quarantine.previewing.bodies.LONGEST", 10**6, id="a text too long"),
        pytest.param("mbox/two", "ops.mbox.parse_time", _without_zone, id="a time of no zone"),
        pytest.param(
            "date/received", "tests.fuzz.targets.parse_time", _without_zone, id="a time of another zone"
        ),
        pytest.param("intake/bare_cr", "tests.fuzz.targets.malformed_field", _none, id="a From overlooked"),
    ],
)
def test_a_target_finds_what_it_is_for(
    seed: str, rule: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, broken)
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        TARGETS[seed.partition("/")[0]]((CORPUS / seed).read_bytes())
