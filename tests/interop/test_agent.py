"""The recipes for an agent in docs/releasing.md: Postfix by SMTP and by sendmail, and Dovecot by LMTP."""

from collections.abc import Iterator

import pytest

from quarantine.mail.addresses import Address
from quarantine.release.handover import Envelope, Protocol, Server, hand_over
from quarantine.release.wire import wire_mail
from tests.interop.circles import BOB, NEEDS_A_NETWORK_OF_ITS_OWN, Circle, running
from tests.interop.programs import FILTERS, agent, eventually
from tests.interop.releases import check_what_arrived, release
from tests.release.servers import ENDS

pytestmark = NEEDS_A_NETWORK_OF_ITS_OWN
_ENTRANCE = {"rspamd": 10026, "amavis": 10025, "spamassassin": 10026}  # without the filter


@pytest.fixture(scope="module", params=FILTERS)
def circle(request: pytest.FixtureRequest) -> Iterator[Circle]:
    with running(request, "--parameter", "ReleaseBy=agent") as circle:
        yield circle


@pytest.mark.parametrize("way", ["smtp", "lmtp", "sendmail"])
def test_a_released_spam_arrives(circle: Circle, way: str) -> None:
    to = {"smtp": f"smtp:127.0.0.1:{_ENTRANCE[circle.filter]}", "lmtp": "lmtp:127.0.0.1:24"}.get(way, way)
    letter = release(circle, way)
    with agent(circle.directory, to, circle.postfix, circle.aws.environ):
        check_what_arrived(circle, way, letter)


def test_the_rule_of_the_mailbox_would_see_a_mark(circle: Circle) -> None:
    """Without this, that a released mail stays out of Junk would show nothing."""
    for name in ("X-Spam: Yes", "X-Spam-Flag: YES", "X-Spam-Status: Yes, score=9"):
        mail = f"{name}\r\nFrom: x@x.example\r\nSubject: {name}\r\n\r\nx\r\n".encode()
        hand_over(_entrance(circle), _to_bob(), wire_mail(mail))
    eventually(lambda: len(circle.postfix.delivered("bob", ".Junk/")) == 3, "all are in Junk")


def test_no_mail_is_smuggled_into_postfix(circle: Circle) -> None:
    commands = b"MAIL FROM:<ceo@example.com>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n\r\n!\r\n.\r\n"
    forms = [each for each in ENDS if b"\0" not in each]
    for number, end in enumerate(forms):
        mail = f"Message-ID: <form-{number}@x>\r\nSubject: x\r\n\r\nx".encode() + end + commands
        assert hand_over(_entrance(circle), _to_bob(), wire_mail(mail)).is_accepted
    for number in range(len(forms)):
        eventually(lambda: _with(circle, "bob", f"<form-{number}@x>"), f"form {number} arrives")  # noqa: B023
    eventually(circle.postfix.is_empty, "nothing waits in Postfix's queue")
    assert [len(_with(circle, "bob", f"<form-{number}@x>")) for number in range(len(forms))] == [1] * len(
        forms
    )
    assert circle.postfix.delivered("alice") == []


def _entrance(circle: Circle) -> Server:
    return Server(Protocol.SMTP, "127.0.0.1", _ENTRANCE[circle.filter])


def _to_bob() -> Envelope:
    return Envelope(Address.parse("bounce-abcdefghijklmnop@reports.example.com"), Address.parse(BOB))


def _with(circle: Circle, user: str, text: str) -> list[bytes]:
    return [mail for mail in circle.postfix.delivered(user) if text.encode() in mail]
