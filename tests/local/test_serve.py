"""`python -m local serve`, over real SMTP."""

import json
import runpy
import signal
from email.headerregistry import Address
from pathlib import Path

import pytest

from tests.local.serving import TRIGGER, Server, eventually, request, serving


def test_the_ready_line(server: Server) -> None:
    assert set(server.ready) == {"smtp", "hold", "endpoint_url", "outbox", "env"}
    host, port = server.ready["smtp"].split(":")
    assert (host, port.isdigit()) == ("127.0.0.1", True)
    assert server.ready["endpoint_url"].startswith("http://127.0.0.1:")
    assert Path(server.ready["outbox"], "new").is_dir()
    assert {
        "SENDERS_TABLE",
        "QUARANTINE_TABLE",
        "REQUESTS_TABLE",
        "JOBS_QUEUE_URL",
        "MAIL_BUCKET",
        "TRIGGER",
        "REPORT_SENDER",
        "COOLDOWN_SECONDS",
        "MAX_ROWS",
        "WHEN_EMPTY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
    } <= set(server.environ)
    assert all(isinstance(value, str) for value in server.environ.values())


def test_a_report_comes_into_the_outbox(server: Server) -> None:
    server.hold("bob@report.example", "Invoice for Bob")
    server.hold("alice@report.example", "Invoice for Alice")
    mail = request("Bob Builder <bob@report.example>", "Mine")
    row = server.settled(server.send(mail, envelope_from="bob@report.example"))
    assert (row["status"], row["messages"], row["requester"]) == ("sent", "1", "bob@report.example")
    (report,) = server.reports("bob@report.example")
    assert report["From"].addresses[0].addr_spec == server.environ["REPORT_SENDER"]
    assert report["To"].addresses == (Address(addr_spec="bob@report.example"),)
    assert report["In-Reply-To"] == "<Mine@mail.example.com>"
    assert report["References"] == "<Mine@mail.example.com>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["X-Auto-Response-Suppress"] == "All"
    text = report.as_string()
    assert "Invoice for Bob" in text
    assert "Invoice for Alice" not in text


def test_the_raw_mail_is_kept_below_the_fields_of_ses(server: Server) -> None:
    mail = request("kept@report.example", "Kept")
    message_id = server.send(mail, envelope_from="kept@report.example")
    stored = (
        server.client("s3")
        .get_object(Bucket=server.environ["MAIL_BUCKET"], Key=f"inbound/{message_id}")["Body"]
        .read()
    )
    block, _, own = stored.partition(b"\r\nFrom:")
    assert block.startswith(b"Return-Path: <kept@report.example>\r\nReceived: from mail.example.com (")
    assert message_id.encode() in block
    assert own.endswith(b"\r\n\r\nAnything will do here.\r\n")


def test_a_second_request_is_too_soon(server: Server) -> None:
    server.hold("soon@report.example")
    statuses = []
    for subject in ("One", "Two"):
        mail = request("soon@report.example", subject)
        row = server.settled(server.send(mail, envelope_from="soon@report.example"))
        statuses.append((row["status"], row.get("reason")))
    assert statuses == [("sent", None), ("refused", "too_soon")]
    assert len(server.reports("soon@report.example")) == 1


def test_a_stranger_is_refused(server: Server) -> None:
    server.hold("victim@report.example")
    mail = request("victim@report.example")
    row = server.settled(server.send(mail, envelope_from="victim@report.example", peer="127.0.0.2"))
    assert (row["status"], row["reason"]) == ("refused", "unauthenticated")
    assert row["evidence"]["connecting_ip"] == {"S": "127.0.0.2"}
    assert server.reports("victim@report.example") == []


def test_a_bounce_is_refused(server: Server) -> None:
    row = server.settled(server.send(request("bounced@report.example"), envelope_from=""))
    assert (row["status"], row["reason"]) == ("refused", "automatic")


@pytest.mark.parametrize(
    ("requester", "to"),
    [
        ("case@report.example", "Manual-Report-REQUEST@reports.example.com"),
        ("suffix@report.example", "manual-report-request+november@reports.example.com"),
        ("both@report.example", "MANUAL-report-request+A.b@Anything.Example"),
    ],
)
def test_a_trigger_in_another_spelling(requester: str, to: str, server: Server) -> None:
    server.hold(requester)
    row = server.settled(server.send(request(requester), envelope_from=requester, to=to))
    assert row["status"] == "sent"
    assert len(server.reports(requester)) == 1


def test_another_recipient_is_no_trigger(server: Server) -> None:
    message_id = server.send(
        request("else@report.example"), envelope_from="else@report.example", to="sales@reports.example.com"
    )
    # Intake handles one mail at a time: when the next one is settled, this one has been decided.
    server.settled(server.send(request("next@report.example"), envelope_from="next@report.example"))
    assert server.records.request(message_id) is None
    assert f'"message_id":"{message_id}"' in server.log.read_text()


def test_a_mail_with_more_header_than_an_event_has(server: Server) -> None:
    server.hold("large@report.example")
    padding = "".join(f"X-MS-Exchange-{number}: {'x' * 900}\r\n" for number in range(20)).encode()
    mail = padding + request("large@report.example").as_bytes()
    row = server.settled(server.send(mail, envelope_from="large@report.example"))
    assert row["status"] == "sent"
    assert len(server.reports("large@report.example")) == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("latin1", "Subject: Müller".encode("latin-1")),
        ("utf8", "Subject: Müller".encode()),
    ],
)
def test_a_mail_with_odd_bytes_in_its_header(name: str, header: bytes, server: Server) -> None:
    requester = f"{name}@report.example"
    server.hold(requester)
    mail = header + f"\r\nFrom: {requester}\r\n\r\nbody\r\n".encode()
    assert server.settled(server.send(mail, envelope_from=requester))["status"] == "sent"
    assert len(server.reports(requester)) == 1


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        (b"X-Odd: a\0b\r\nFrom: nul@report.example\r\n\r\nbody\r\n", "ambiguous_sender"),
        (b"X-A: b\nFrom: lf@report.example\r\nFrom: eve@report.example\r\n\r\nbody\r\n", "ambiguous_sender"),
        (b"From: lf@report.example\nAuto-Submitted: auto-replied\r\n\r\nbody\r\n", "automatic"),
        (b"From: lf@report.example\rX: y\r\n\r\nbody\r\n", "ambiguous_sender"),
        (b"From: l\0f@report.example\r\n\r\nbody\r\n", "ambiguous_sender"),
        ("From: lf@réport.example\r\n\r\nbody\r\n".encode("latin-1"), "ambiguous_sender"),
        (b"\r\nFrom: lf@report.example\r\n\r\nbody\r\n", "ambiguous_sender"),
    ],
    ids=[
        "NUL in a field",
        "a From after a bare LF",
        "a field after a bare LF",
        "a bare CR",
        "a NUL",
        "8 bits",
        "no header",
    ],
)
def test_a_mail_that_could_be_read_in_two_ways(mail: bytes, reason: str, server: Server) -> None:
    row = server.settled(server.send(mail, envelope_from="lf@report.example"))
    assert (row["status"], row["reason"]) == ("refused", reason)
    assert server.reports("lf@report.example") == []


def test_a_job_that_is_none_ends_in_the_dead_letter_queue(server: Server) -> None:
    sqs = server.client("sqs")
    jobs = server.environ["JOBS_QUEUE_URL"]
    sqs.set_queue_attributes(
        QueueUrl=jobs, Attributes={"VisibilityTimeout": "0"}
    )  # it is delivered again at once
    policy = sqs.get_queue_attributes(QueueUrl=jobs, AttributeNames=["RedrivePolicy"])
    redrive = json.loads(policy["Attributes"]["RedrivePolicy"])
    dead_letters = sqs.get_queue_url(QueueName=redrive["deadLetterTargetArn"].rpartition(":")[2])["QueueUrl"]

    server.hold("first@report.example")
    mail = request("first@report.example")  # the poll under way, with the old timeout, ends with this one
    assert server.settled(server.send(mail, envelope_from="first@report.example"))["status"] == "sent"
    sqs.send_message(QueueUrl=jobs, MessageBody="this is not a job")
    server.hold("second@report.example")
    mail = request("second@report.example")
    assert server.settled(server.send(mail, envelope_from="second@report.example"))["status"] == "sent"

    (dead,) = eventually(lambda: sqs.receive_message(QueueUrl=dead_letters).get("Messages"), "a dead letter")
    assert dead["Body"] == "this is not a job"
    assert len(server.reports("second@report.example")) == 1
    assert server.log.read_text().count('"message":"not a job"') == int(redrive["maxReceiveCount"])


def test_verdicts_and_parameters(tmp_path: Path) -> None:
    verdicts = "spf=PASS,dmarc=PASS"  # by DMARC alone, a mail would need a signature
    with serving(tmp_path, "--verdicts", verdicts, "--parameter", "CooldownSeconds=0") as server:
        assert server.environ["COOLDOWN_SECONDS"] == "0"
        server.records.put_auth("proven.example", ["dmarc"])
        server.hold("bob@proven.example")
        rows = []
        for subject in ("One", "Two"):
            mail = request("bob@proven.example", subject)
            rows.append(server.settled(server.send(mail, envelope_from="bob@proven.example")))
        unproven = server.settled(
            server.send(request("bob@other.example"), envelope_from="bob@other.example")
        )
        assert [row["status"] for row in rows] == ["sent", "sent"]
        assert rows[0]["evidence"]["dmarc"] == {"S": "PASS"}
        assert rows[0]["evidence"]["dkim"] == {"S": "GRAY"}
        assert unproven["reason"] == "unauthenticated"
        assert len(server.reports("bob@proven.example")) == 2
        assert server.stop(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--verdicts", "dmarc=MAYBE"], "'MAYBE' is not a valid Verdict"),
        (["--verdicts", "dmark=PASS"], "unknown verdict: dmark"),
        (["--verdicts", "dmarc"], "not KEY=VALUE: dmarc"),
        (["--parameter", "CooldownSeconds"], "not KEY=VALUE: CooldownSeconds"),
        (["--smtp-port", "smtp"], "invalid int value: 'smtp'"),
    ],
    ids=" ".join,
)
def test_an_argument_that_cannot_be_read(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["local", "serve", *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("local", run_name="__main__")
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert f"argument {arguments[0]}: " in err
    assert says in err


def test_the_trigger_is_that_of_the_template(server: Server) -> None:
    assert TRIGGER.partition("@")[0] == server.environ["TRIGGER"]


def became(server: Server, request_id: str) -> tuple[str, str, str]:
    """Wait until SES has reported what became of a request's mail; return it, and the status.

    SES may report it before the row is settled.
    """

    def row() -> dict[str, dict[str, str]]:
        item = server.records.request(request_id) or {}
        return item if "delivery" in item and item["status"]["S"] != "sending" else {}

    found = eventually(row, f"an event about {request_id}; see {server.log}")
    delivery, detail, status = (found[name]["S"] for name in ("delivery", "delivery_detail", "status"))
    return delivery, detail, status


def test_ses_says_that_a_report_was_delivered(server: Server) -> None:
    server.hold("delivered@report.example")
    mail = request("delivered@report.example", "Delivered")
    request_id = server.send(mail, envelope_from="delivered@report.example")
    assert became(server, request_id) == ("delivered", "250 2.0.0 Ok", "sent")


def test_mail_to_a_domain_that_bounces_comes_back(server: Server) -> None:
    server.hold("bob@mail.bounce.example")
    mail = request("bob@mail.bounce.example", "Bounced")
    request_id = server.send(mail, envelope_from="bob@mail.bounce.example")
    delivery, detail, status = became(server, request_id)
    assert (delivery, status) == ("bounced", "sent")
    assert detail == "Permanent General, smtp; 550 5.1.1 <bob@mail.bounce.example>: user unknown"


def test_ses_rejects_what_it_is_told_to(tmp_path: Path) -> None:
    with serving(tmp_path, "--ses-rejects", "EICAR") as server:
        server.records.put_relay("*", "127.0.0.1/32")
        server.hold("bob@report.example", "EICAR")
        mail = request("bob@report.example", "Rejected")
        request_id = server.send(mail, envelope_from="bob@report.example")
        assert became(server, request_id) == ("rejected", "Bad content", "sent")
        assert len(server.reports("bob@report.example")) == 1  # what SES was asked to send
