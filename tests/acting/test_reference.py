"""How a held message is named in an address, and which names are refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.acting.reference import CODE_BYTES, Reference, code_of, is_code, shortened

RECEIVED_AT = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
CODE = "abcdefghijklmnop"
TEXT = f"1795435800-{CODE}"


def test_a_reference_is_written_as_its_time_and_its_code() -> None:
    assert str(Reference(RECEIVED_AT, CODE)) == TEXT


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), st.binary(min_size=10, max_size=10))  # noqa: DTZ001
def test_what_is_written_is_read_again(time: datetime, random: bytes) -> None:
    reference = Reference(time.replace(microsecond=0, tzinfo=UTC), code_of(random))
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(str(reference).upper()) == reference  # some programs change the case


@pytest.mark.parametrize(
    "text",
    [
        "",
        CODE,
        "1795435800",
        "1795435800-",
        f"-{CODE}",
        f"-1-{CODE}",
        f"0-{CODE}",
        f"01795435800-{CODE}",
        f"9999999999999-{CODE}",
        f"999999999999-{CODE}",
        f"1795435800-{CODE}q",
        "1795435800-abcdefghijklmno",
        "1795435800-abcdefghijklmno1",
        "1795435800-abcdefghijklmnoé",
        f"١٧٩٥٤٣٥٨٠٠-{CODE}",
        f"{TEXT}\n",
        f" {TEXT}",
        f"{TEXT}-{CODE}",
    ],
)
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        Reference.parse(text)


def test_a_reference_names_the_row_with_its_code_alone() -> None:
    reference = Reference(RECEIVED_AT, CODE)
    assert reference.names(CODE)
    assert not any(reference.names(other) for other in (None, "", "abcdefghijklmnoq", CODE[:4], 1))


def test_a_log_does_not_show_enough_to_use_it() -> None:
    address = f"release-{Reference(RECEIVED_AT, CODE)}@reports.example.com"
    shown = "release-1795435800-abcd...@reports.example.com"
    assert shortened(f"{address}, {address.upper()}") == f"{shown}, {shown.upper()}"


def test_a_code_has_eighty_random_bits_in_letters_that_survive_a_mail_program() -> None:
    code = code_of(bytes(range(CODE_BYTES)))
    assert CODE_BYTES * 8 == 80
    assert is_code(code)
    assert len(code) == 16


@pytest.mark.parametrize("value", [None, 7, "", "ABCDEFGHIJKLMNOP", "abcdefghijklmno", "abcdefghijklmno0"])
def test_a_row_may_have_a_code_that_cannot_be_used(value: object) -> None:
    assert not is_code(value)
