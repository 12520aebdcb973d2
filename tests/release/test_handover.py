"""How a mail goes to a server that trusts us: what arrives, and what the server says."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quarantine.mail.addresses import Address
from quarantine.release.handover import Envelope, Login, LoginRefused, Protocol, Reply, Server, hand_over
from quarantine.release.wire import UnsafeMail, WireMail, wire_mail
from tests.release.servers import DROP, ENDS, MailServer, running
from tests.tls import self_signed

BOB = Address.parse("bob@example.com")
SENDER = Address.parse("bounce-abcdefghijklmnop@reports.example.com")
ENVELOPE = Envelope(SENDER, BOB)
MAIL = b"Subject: x\r\n\r\nHello\r\n"
NEXT = b"MAIL FROM:<ceo@example.com>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nSubject: pay\r\n\r\n!\r\n.\r\n"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with running(MailServer()) as server:
        yield server


def at(server: MailServer) -> Server:
    return Server(Protocol.SMTP, "127.0.0.1", server.port, command_timeout=20, reply_timeout=20)


def impatient(server: MailServer) -> Server:
    return replace(at(server), command_timeout=0.2, reply_timeout=0.2)


def words(server: MailServer) -> list[bytes]:
    """Return the commands that a server got."""
    return [line.split()[0].lower() for line in server.commands]


# --- Line ends ---


@pytest.mark.parametrize(
    ("mail", "expected", "is_repaired"),
    [
        pytest.param(b"a: b\r\n\r\nc\r\n", b"a: b\r\n\r\nc\r\n", False, id="CRLF"),
        pytest.param(b"a: b\n\nc\n", b"a: b\r\n\r\nc\r\n", False, id="LF, as in a file"),
        pytest.param(b"a: b\r\n\r\nc", b"a: b\r\n\r\nc\r\n", False, id="no last line end"),
        pytest.param(b"a: b\r\n\r\nc\nd\r\n", b"a: b\r\n\r\nc\r\nd\r\n", True, id="a lone LF"),
        pytest.param(b"a: b\r\n\r\nc\rd\r\n", b"a: b\r\n\r\nc\r\nd\r\n", True, id="a lone CR"),
        pytest.param(b"a: b\n\nc\rd\n", b"a: b\r\n\r\nc\r\nd\r\n", True, id="a CR among LF"),
        pytest.param(b"a: b\r\r\n\r\n", b"a: b\r\n\r\n\r\n", True, id="CR CR LF"),
        pytest.param(b"", b"", False, id="nothing"),
    ],
)
def test_each_line_ends_in_crlf(mail: bytes, expected: bytes, is_repaired: bool) -> None:
    assert wire_mail(mail) == WireMail(expected, is_repaired)


def test_a_nul_is_refused() -> None:
    with pytest.raises(UnsafeMail, match="NUL"):
        wire_mail(b"a: b\r\n\r\n\0")


@pytest.mark.parametrize("end", [each for each in ENDS if b"\0" not in each], ids=repr)
@pytest.mark.parametrize("is_lenient", [False, True])
def test_no_mail_is_smuggled(end: bytes, is_lenient: bool) -> None:
    with running(MailServer(is_lenient=is_lenient)) as server:
        assert hand_over(at(server), ENVELOPE, wire_mail(MAIL + b"x" + end + NEXT)).is_accepted
        assert len(server.mails) == 1
        assert words(server) == [b"ehlo", b"mail", b"rcpt", b"data", b"quit"]


def test_dots_are_stuffed(server: MailServer) -> None:
    assert hand_over(at(server), ENVELOPE, wire_mail(b".a\r\n.\n..\n")).is_accepted
    assert server.mails[0][2] == b"..a\r\n..\r\n...\r\n"


# --- The transaction ---


def test_a_mail_arrives_as_it_is_with_one_recipient(server: MailServer) -> None:
    assert hand_over(at(server), ENVELOPE, wire_mail(MAIL + b"\xe4\r\n")) == Reply(250, "queued as 1")
    ((sender, recipient, content),) = server.mails
    options = b"size=%d body=8bitmime" % len(content)
    assert sender.lower() == b"mail from:<%b> %b" % (str(SENDER).encode(), options)
    assert recipient.lower() == b"rcpt to:<bob@example.com>"
    assert content == MAIL + b"\xe4\r\n"


def test_lmtp_greets_otherwise(server: MailServer) -> None:
    assert hand_over(replace(at(server), protocol=Protocol.LMTP), ENVELOPE, wire_mail(MAIL)).is_accepted
    assert server.commands[0].lower().startswith(b"lhlo")


STAGES = ["MAIL", "RCPT", "DATA", "mail"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("code", "is_final"), [(451, False), (550, True)])
def test_what_the_server_says_of_the_mail(stage: str, code: int, is_final: bool, server: MailServer) -> None:
    server.replies[stage] = b"%d 5.7.1 not \x1b[2J here" % code
    reply = hand_over(at(server), ENVELOPE, wire_mail(MAIL))
    assert (reply.code, reply.is_final, reply.is_accepted) == (code, is_final, False)
    assert "\x1b" not in reply.text
    assert server.mails == []


@pytest.mark.parametrize("stage", ["connect", "EHLO", *STAGES])
@pytest.mark.parametrize("said", [pytest.param(None, id="nothing"), pytest.param(DROP, id="drops")])
def test_a_server_that_does_not_answer_has_not_refused(
    stage: str, said: bytes | None, server: MailServer
) -> None:
    server.replies[stage] = said
    reply = hand_over(impatient(server) if said is None else at(server), ENVELOPE, wire_mail(MAIL))
    assert (reply.code, reply.is_final, reply.is_accepted) == (0, False, False)


@pytest.mark.parametrize("stage", ["connect", "EHLO", "STARTTLS"])
def test_a_server_that_does_not_want_us_has_not_refused_the_mail(
    stage: str, server: MailServer, tmp_path: Path
) -> None:
    server.certificate = self_signed(tmp_path / "pem")
    server.replies[stage] = b"554 not you"
    reply = hand_over(at(server), ENVELOPE, wire_mail(MAIL))
    assert (reply.code, reply.is_final) == (0, False)


@pytest.mark.parametrize("said", [None, DROP, b"500 what?"])
def test_what_happens_after_the_yes_does_not_matter(said: bytes | None, server: MailServer) -> None:
    server.replies["QUIT"] = said
    assert hand_over(impatient(server), ENVELOPE, wire_mail(MAIL)).is_accepted
    assert len(server.mails) == 1


def test_a_server_that_is_not_there(server: MailServer) -> None:
    closed = replace(at(server), port=1)
    assert hand_over(closed, ENVELOPE, wire_mail(MAIL)).code == 0


# --- Encryption and login ---

ELSEWHERE = "0.0.0.0"  # it reaches this machine, and is not a loopback address


def test_a_server_elsewhere_must_encrypt(server: MailServer) -> None:
    reply = hand_over(replace(at(server), host=ELSEWHERE), ENVELOPE, wire_mail(MAIL))
    assert "offers no STARTTLS" in reply.text
    assert words(server) == [b"ehlo", b"quit"]


def test_a_certificate_that_nobody_signed_is_not_trusted(server: MailServer, tmp_path: Path) -> None:
    server.certificate = self_signed(tmp_path / "pem")
    reply = hand_over(replace(at(server), host=ELSEWHERE), ENVELOPE, wire_mail(MAIL))
    assert "certificate" in reply.text.lower()
    assert server.mails == []


def test_a_certificate_of_another_host_is_not_trusted(server: MailServer, tmp_path: Path) -> None:
    server.certificate = self_signed(tmp_path / "pem")
    elsewhere = replace(at(server), host=ELSEWHERE, ca_file=str(server.certificate))
    assert "certificate" in hand_over(elsewhere, ENVELOPE, wire_mail(MAIL)).text.lower()
    assert server.mails == []


def test_the_certificate_does_not_matter_on_this_machine(server: MailServer, tmp_path: Path) -> None:
    server.certificate = self_signed(tmp_path / "pem")
    assert hand_over(at(server), ENVELOPE, wire_mail(MAIL)).is_accepted
    assert b"STARTTLS" in server.commands


def test_a_user_logs_in(server: MailServer) -> None:
    server.extensions += (b"AUTH PLAIN",)
    assert hand_over(at(server), ENVELOPE, wire_mail(MAIL), Login("us", "secret")).is_accepted
    server.replies["AUTH"] = b"535 no"
    with pytest.raises(LoginRefused, match="535 no"):
        hand_over(at(server), ENVELOPE, wire_mail(MAIL), Login("us", "secret"))
    assert "secret" not in repr(Login("us", "secret"))
