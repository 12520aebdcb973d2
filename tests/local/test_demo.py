"""`python -m local demo`: the first thing that a newcomer sees."""

import os
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

from tests.local.serving import PROJECT


def test_demo(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "local", "demo", "--directory", str(directory)],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.strip()]
    for title, outcome in (
        ("Bob asks ", " sent "),
        ("A stranger asks as Bob", "refused: unauthenticated"),
        ("Alice's out-of-office answers", "refused: automatic"),
        ("Bob asks again, at once", "refused: too_soon"),
        ("Bob looks for an invoice", " sent "),
        ("Carol asks, for whom nothing is held", " empty"),
        ("Bob writes to a preview address", "done: shown"),
        ("Carol writes to Bob's release", "refused: not_yours"),
        ("A stranger releases as Bob", "refused: unauthenticated"),
        ("Bob releases it", "done: delivered"),
        ("Bob deletes it", "done: deleted"),
        ("Bob releases one that SES rejects", "done: delivered"),
        ("Bob may not release an invoice", "done: not_releasable"),
        ("Bob asks for it", "done: asked"),
        ("Bob approves it himself", "refused: not_yours"),
        ("Alice, the administrator", "done: approved"),
        ("Bob asks for his prize", "done: asked"),
        ("Alice refuses", "done: refused"),
        ("Bob looks at it", "done: shown"),
        ("Bob releases it", "done: handed_over"),
    ):
        assert any(outcome in line for line in shown if title[:30] in line), (title, outcome, done.stdout)

    mails = [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in (directory / "outbox" / "new").iterdir()
    ]
    assert {mail["To"] for mail in mails} == {"bob@example.com", "alice@example.com"}
    by_subject = {str(mail["Subject"]): mail for mail in mails if mail["To"] == "bob@example.com"}
    assert "The message did not arrive" in by_subject  # SES rejected it, and it is held again
    released = by_subject["The message that was held for bob@example.com"]
    assert [part.get_filename() for part in released.iter_attachments()] == ["original.eml"]
    assert "Held mail for bob@example.com: 1 new message" in by_subject
    report = by_subject["Held mail for bob@example.com: 8 messages"]
    text, html = (report.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    for part in (text, html, (directory / "report.html").read_text()):
        assert "Invoice 2026-1187 for November" in part
        assert "Oak prices fall for the third week" in part
        assert "Your results are in" not in part  # Alice's
        assert "\u202e" not in part
    assert "<script>" not in html
    assert "Invoice 2026-1187 for November" in done.stdout
    assert str(directory / "report.html") in "".join(done.stdout.split("\n"))
    assert '"reason":"unauthenticated"' in (directory / "log.jsonl").read_text()

    (path,) = (directory / "mailbox" / "new").iterdir()
    in_mailbox = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert (in_mailbox["From"], in_mailbox["Subject"]) == (
        "Parcel Service <news@parcels.example>",
        "Your parcel is waiting",
    )
    assert "X-Quarantine-Released: " in done.stdout
    assert "250 it is in the mailbox" in (directory / "agent.log").read_text()
