import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarantine.jobs import MalformedJob, ReportJob, from_json, to_json

ID = "dse8s7jhc9eg90tmimg1q2scsc14gvjvbbom6n81"
BEFORE = {  # a job of version 1, which carried the data that is now in the row
    "version": 1,
    "request_id": ID,
    "requester": "bob@example.com",
    "mailboxes": ["bob@example.com", "alice@example.com"],
    "trigger": "manual-report-request@reports.example.com",
    "received_at": "2026-11-23T11:59:58+00:00",
    "accepted_by": "dmarc, by the auth record of example.com",
    "utc_offset_minutes": 60,
    "message_id": "<1@example.com>",
    "references": [],
}


@given(st.builds(ReportJob, request_id=st.text()))
def test_a_job_survives_json(job: ReportJob) -> None:
    assert from_json(to_json(job)) == job


def test_a_job_is_a_pointer() -> None:
    assert json.loads(to_json(ReportJob(ID))) == {"version": 2, "kind": "report", "request_id": ID}


def test_of_a_job_of_the_version_before_only_the_id_is_read() -> None:
    assert from_json(json.dumps(BEFORE)) == ReportJob(ID)


def _changed(**values: object) -> str:
    return json.dumps(json.loads(to_json(ReportJob(ID))) | values)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param("", id="empty"),
        pytest.param("no json", id="not JSON"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no version"),
        pytest.param('{"version": 1}', id="nothing but the version"),
        pytest.param('{"version": 2, "kind": "report"}', id="no request"),
        pytest.param(f'{{"version": 2, "request_id": "{ID}"}}', id="no kind"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param(json.dumps(BEFORE | {"request_id": 7}), id="a number for an old request"),
        *[
            pytest.param(_changed(**{name: value}), id=f"{name}={value!r:.20}")
            for name, value in [
                ("version", 3),
                ("version", "2"),
                ("kind", "release"),
                ("kind", None),
                ("request_id", 7),
                ("request_id", None),
                ("request_id", [ID]),
            ]
        ],
    ],
)
def test_anything_else_is_a_malformed_job(job: str) -> None:
    with pytest.raises(MalformedJob):
        from_json(job)


@given(st.text())
def test_the_reader_raises_nothing_else(job: str) -> None:
    with pytest.raises(MalformedJob):
        from_json(job)
