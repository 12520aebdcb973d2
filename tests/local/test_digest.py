"""`python -m local serve` looks for readers who are due, as the schedule on AWS does."""

from datetime import UTC, datetime, timedelta

from local.records import Records
from quarantine.mail.addresses import Address
from quarantine.stores.mailboxes import Mailboxes
from tests.local.serving import Server, eventually

READER = "bob@digest.example"


def make_due(server: Server) -> None:
    mailboxes = Mailboxes(server.client("dynamodb"), server.environ["MAILBOXES_TABLE"], lambda *_: None)
    mailboxes.mark_due(Address.parse(READER), datetime.now(UTC) - timedelta(minutes=1))


def let_digests_come(records: Records) -> None:
    since = datetime.now(UTC) - timedelta(days=2)
    records.put_auth("digest.example", ["dkim"])  # a domain that is known
    records.put_digest("digest.example", "07:00", everyone=True, now=since)


def test_a_digest_comes_into_the_outbox_of_a_reader_who_is_due(server: Server) -> None:
    let_digests_come(server.records)
    server.hold(READER, "Invoice 44")
    make_due(server)
    (digest,) = eventually(lambda: server.reports(READER), f"a digest; see {server.log}")
    assert digest["Auto-Submitted"] == "auto-generated"
    assert digest["In-Reply-To"] is None
    assert "Invoice 44" in digest.as_string()
