"""Delivery reports (RFC 3464), as mail servers write them and as strangers forge them."""

import pytest

from quarantine.acting.ways import bounce_code, bounce_local_part, read_bounce_code
from quarantine.feedback.report import DeliveryReport, read_delivery_report

HEAD = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n"


def report(fields: bytes, content_type: bytes = b"Content-Type: message/delivery-status") -> bytes:
    return HEAD + b"--b\r\n" + content_type + b"\r\n\r\n" + fields + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            report(b"Arrival: x\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no"),
            DeliveryReport(has_failed=True, detail="5.1.1, smtp; 550 no"),
            id="failed",
        ),
        pytest.param(
            report(b"Action: delayed\r\nStatus: 4.4.1"),
            DeliveryReport(has_failed=False, detail="4.4.1"),
            id="late",
        ),
        pytest.param(
            report(
                b"action : FAILED\n", b"content-type:\n message/global-delivery-status; charset=utf-8"
            ).replace(b"\r\n", b"\n"),
            DeliveryReport(has_failed=True, detail=""),
            id="folded, with LF",
        ),
        pytest.param(
            report(b"Action: failed\r\nDiagnostic-Code: smtp;\r\n 550 \x1b[2J\xff"),
            DeliveryReport(has_failed=True, detail="smtp; 550 [2J\ufffd"),
            id="hostile",
        ),
        pytest.param(report(b"Status: 5.0.0"), None, id="no action"),
        pytest.param(HEAD, None, id="no part"),
        pytest.param(b"Subject: I am away\r\n\r\nAction: failed\r\n", None, id="an automatic reply"),
        pytest.param(
            report(b"Action: delivered")
            + b"--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n",
            DeliveryReport(has_failed=False, detail=""),
            id="the returned mail forges another",
        ),
    ],
)
def test_what_a_report_says(raw: bytes, expected: DeliveryReport | None) -> None:
    assert read_delivery_report(raw) == expected


def test_a_bounce_address_is_read_again_in_any_case() -> None:
    code = bounce_code("abcdefghijklmnop", "r-1")
    assert read_bounce_code(bounce_local_part(code).upper()) == code
    assert code != bounce_code("abcdefghijklmnop", "r-2") != bounce_code("abcdefghijklmnoq", "r-2")


@pytest.mark.parametrize(
    "local", ["bounce", "bounce-", "bounce-abc", f"bounce-{'a' * 17}", f"bounce-{'1' * 16}"]
)
def test_other_local_parts_are_no_bounce_address(local: str) -> None:
    assert read_bounce_code(local) is None
