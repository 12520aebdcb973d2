import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.addresses import Address
from quarantine.request import MalformedJob, ReportRequest

REQUEST = ReportRequest(
    request_id="dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81",
    requester=Address.parse("bob@example.com"),
    mailboxes=(Address.parse("bob@example.com"), Address.parse("sales@example.com")),
    trigger=Address.parse("manual-report-request@reports.example.com"),
    received_at=datetime(2026, 11, 23, 11, 59, 58, 123000, UTC),
    accepted_by="dmarc, by the auth record of example.com",
    utc_offset=timedelta(hours=1),
    message_id="<1@example.com>",
    references=("<0@example.com>",),
)

_ADDRESSES = st.builds(
    lambda local, domain: Address.parse(f"{local}@{domain}.example"),
    st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True).filter(
        lambda local: "=?" not in local
    ),
    st.from_regex(r"[a-z]([a-z0-9]{1,10})", fullmatch=True),
)
_REQUESTS = st.builds(
    ReportRequest,
    request_id=st.text(),
    requester=_ADDRESSES,
    mailboxes=st.lists(_ADDRESSES).map(tuple),
    trigger=_ADDRESSES,
    received_at=st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds it
    accepted_by=st.text(),
    utc_offset=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    message_id=st.none() | st.text(),
    references=st.lists(st.text()).map(tuple),
)


@given(_REQUESTS)
def test_a_request_survives_json(request: ReportRequest) -> None:
    assert ReportRequest.from_json(request.to_json()) == request


def _changed(**values: object) -> str:
    return json.dumps(json.loads(REQUEST.to_json()) | values)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param("", id="empty"),
        pytest.param("no json", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no version"),
        pytest.param('{"version": 1}', id="nothing but the version"),
        pytest.param("[" * 100_000, id="too deep"),
        *[
            pytest.param(_changed(**{name: value}), id=f"{name}={value!r:.20}")
            for name, value in [
                ("version", 2),
                ("request_id", 7),
                ("requester", "bob"),
                ("requester", "bob@example.com, eve@evil.example"),
                ("requester", None),
                ("mailboxes", "bob@example.com"),
                ("mailboxes", [7]),
                ("mailboxes", ["x"]),
                ("trigger", ""),
                ("received_at", "soon"),
                ("received_at", "2026-11-23T11:59:58"),
                ("received_at", 7),
                ("utc_offset_minutes", "60"),
                ("utc_offset_minutes", 10**20),
                ("message_id", 7),
                ("references", [None]),
            ]
        ],
    ],
)
def test_anything_else_is_a_malformed_job(job: str) -> None:
    with pytest.raises(MalformedJob):
        ReportRequest.from_json(job)


@given(st.text())
def test_the_reader_raises_nothing_else(job: str) -> None:
    with pytest.raises(MalformedJob):
        ReportRequest.from_json(job)
