"""The tags of a mail name its request, whatever its id is made of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.feedback.tags import MailKind, UnreadableTags, read_tags, tags_of

SES_ID = "v5mwjeef78rkc6ql4z4l59xxtrv910qutckbkzsk"
LEGAL = re.compile(r"[A-Za-z0-9_-]{1,256}")  # API_MessageTag


@pytest.mark.parametrize(
    ("request_id", "value"),
    [
        pytest.param(SES_ID, SES_ID, id="of the first command of a mail"),
        pytest.param(f"{SES_ID}.2", f"{SES_ID}_2E2", id="of the second"),
        pytest.param(f"{SES_ID}.10", f"{SES_ID}_2E10", id="of the tenth"),
        pytest.param("operator-3f", "operator-3f", id="of an operator"),
        pytest.param("digest-0a1b-1795", "digest-0a1b-1795", id="of a digest"),
        pytest.param("a_2E", "a_5F2E", id="like an escape"),
        pytest.param("ä#", "_C3_A4_23", id="beyond ASCII"),
    ],
)
def test_an_id_becomes_a_value_that_ses_accepts(request_id: str, value: str) -> None:
    assert {"request": value, "mail": "release"} == tags_of(request_id, MailKind.RELEASE)
    assert (request_id, MailKind.RELEASE) == read_tags(value, "release")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.sampled_from(MailKind))
def test_each_id_can_be_read_again(request_id: str, kind: MailKind) -> None:
    tags = tags_of(request_id, kind)
    assert all(LEGAL.fullmatch(text) for item in tags.items() for text in item)
    assert (request_id, kind) == read_tags(tags["request"], tags["mail"])


@pytest.mark.parametrize("request_id", ["", 86 * "."], ids=["empty", "too long"])
def test_an_id_that_does_not_fit_is_an_error(request_id: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tags_of(request_id, MailKind.REPORT)


@pytest.mark.parametrize(
    ("request_tag", "mail_tag"),
    [
        pytest.param(SES_ID, "newsletter", id="another kind"),
        pytest.param("", "report", id="no request"),
        pytest.param("a.2", "report", id="a character that no tag has"),
        pytest.param("a_2", "report", id="half an escape"),
        pytest.param("a_2e2", "report", id="an escape that we do not write"),
        pytest.param("_FF", "report", id="not UTF-8"),
    ],
)
def test_tags_of_others_are_not_guessed(request_tag: str, mail_tag: str) -> None:
    with pytest.raises(UnreadableTags):
        read_tags(request_tag, mail_tag)
