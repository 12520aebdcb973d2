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
        ("Carol asks, for whom nothing is held", " empty"),
    ):
        assert any(outcome in line for line in shown if title[:30] in line), (title, outcome, done.stdout)

    (path,) = (directory / "outbox" / "new").iterdir()
    report = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert report["To"] == "bob@example.com"
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
