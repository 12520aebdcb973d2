"""`quarantine deliver`: where an agent hands mail over, and its command line."""

import os
import stat
from pathlib import Path

import pytest

from ops.deliver.target import Listener, Sendmail, parse_target
from quarantine.mail.addresses import Address
from quarantine.release.handover import Envelope, Protocol, Server
from quarantine.release.wire import wire_mail
from quarantine.services.releasing import GRACE
from tests.deploy.template import deployed
from tests.functions.actions import MESSAGE_ID
from tests.functions.test_ways import results, waiting, with_agents  # noqa: F401 - fixtures
from tests.ops.conftest import Terminal
from tests.release.servers import MailServer, running
from tests.world import World

ENVELOPE = Envelope(
    Address.parse(f"bounce-{'a' * 16}@reports.example.com"), Address.parse("-bob@example.com")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smtp:mx.example.com:25", Listener(Server(Protocol.SMTP, "mx.example.com", 25))),
        ("smtp:[::1]:10025", Listener(Server(Protocol.SMTP, "::1", 10025))),
        ("smtp:mx.example.com:465", Listener(Server(Protocol.SMTP, "mx.example.com", 465, is_tls=True))),
        ("lmtp:127.0.0.1:24", Listener(Server(Protocol.LMTP, "127.0.0.1", 24))),
        ("lmtp:/run/dovecot/lmtp", Listener(Server(Protocol.LMTP, "/run/dovecot/lmtp", 0))),
        ("sendmail", Sendmail("/usr/sbin/sendmail")),
        ("sendmail:/opt/sendmail", Sendmail("/opt/sendmail")),
    ],
)
def test_where_mail_is_handed_over(text: str, expected: Listener | Sendmail) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text", ["", "smtp", "smtp:host", "smtp:/run/x", "sendmail:rm -rf", "http:x:1", "smtp::1"]
)
def test_what_is_no_place_is_refused(text: str, terminal: Terminal) -> None:
    assert terminal("deliver", "--to", text, "--domain", "example.com") == 2


def test_each_domain_is_named(terminal: Terminal) -> None:
    assert terminal("deliver", "--to", "sendmail", "--domain", "*") == 2


@pytest.mark.parametrize("target", ["smtp:mx.example.com:25", "lmtp:mx.example.com:24"])
def test_a_slow_server_is_given_up_before_another_agent_may_deliver(target: str) -> None:
    visible_again = deployed(ReleaseBy="agent")["ReleasesQueue"]["Properties"]["VisibilityTimeout"]
    listener = parse_target(target)
    assert isinstance(listener, Listener)
    assert listener.server.longest < visible_again < GRACE.total_seconds()


def program(folder: Path, code: int) -> str:
    """Write a sendmail that keeps its arguments and its input."""
    path = folder / "sendmail"
    lines = ["#!/bin/sh", f'printf "%s\\n" "$@" > "{folder}/args"', f'cat > "{folder}/mail"', "echo said >&2"]
    path.write_text("\n".join([*lines, f"exit {code}\n"]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_sendmail_gets_arguments_and_no_shell(tmp_path: Path) -> None:
    mail = wire_mail(b"Subject: x\r\n\r\n.\r\n$(touch x)\r\n")
    assert Sendmail(program(tmp_path, 0)).deliver(ENVELOPE, mail).is_accepted
    arguments = (tmp_path / "args").read_text().splitlines()
    assert arguments == ["-i", "-f", str(ENVELOPE.sender), "--", "-bob@example.com"]
    assert (tmp_path / "mail").read_bytes() == b"Subject: x\n\n.\n$(touch x)\n"


@pytest.mark.parametrize(
    ("code", "is_final"),
    [
        (os.EX_NOUSER, True),
        (os.EX_UNAVAILABLE, True),
        (os.EX_TEMPFAIL, False),
        (os.EX_USAGE, False),
        (1, False),
    ],
)
def test_what_sendmail_exits_with(code: int, is_final: bool, tmp_path: Path) -> None:
    reply = Sendmail(program(tmp_path, code)).deliver(ENVELOPE, wire_mail(b"x"))
    assert (reply.is_accepted, reply.is_final) == (False, is_final)
    assert "said" in reply.text


def test_a_sendmail_that_is_not_there_has_not_refused(tmp_path: Path) -> None:
    assert Sendmail(str(tmp_path / "none")).deliver(ENVELOPE, wire_mail(b"x")).code == 0


def test_an_agent_delivers_what_waits_and_ends(
    waiting: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAIL_BUCKET", "RELEASES_QUEUE_URL", "RESULTS_QUEUE_URL"):
        monkeypatch.setenv(name, waiting.stack.environ[name])
    with running(MailServer()) as server:
        to = f"smtp:127.0.0.1:{server.port}"
        assert terminal("deliver", "--to", to, "--domain", "example.com", "--wait", "0", "--once") == 0
        assert len(server.mails) == 1
    assert f"{MESSAGE_ID}: 250 queued as 1" in terminal.warned
    assert waiting.results(*results(waiting)) == []
    assert waiting.row(MESSAGE_ID)["status"] == "done"
