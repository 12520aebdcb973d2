"""`quarantine hold`: its answers to a mail server by pipe, SMTP and LMTP, and the mail that it stores."""

import asyncio
import contextlib
import io
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ops.hold.command import run
from ops.hold.front import FrontHandler
from ops.hold.serving import connection
from ops.hold.writer import PATIENT, HeldMailWriter, HoldMetadata
from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from tests.functions.faults import Wire
from tests.ops.conftest import Terminal
from tests.world import World

PROJECT = Path(__file__).parents[2]
PATIENCE = 30  # seconds
BOB, AL = "bob@example.com", "al@example.com"
MAIL = b"From: Eve <eve@x.example>\r\nSubject: Prize\r\n\r\nbody\r\n"
DONE, LATER = 0, 75  # sysexits.h: EX_OK, EX_TEMPFAIL
LISTEN = ("--listen", "127.0.0.1:99999")  # which cannot be served


@pytest.fixture
def bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    name = world.stack.environ["MAIL_BUCKET"]
    monkeypatch.setenv("MAIL_BUCKET", name)
    return name


@pytest.fixture(scope="session")
def scripts() -> dict[str, str]:
    """The entry points of the commands, as `module:function`."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    return dict(project["scripts"])


@pytest.fixture(autouse=True)
def _standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, MAIL)


def give(monkeypatch: pytest.MonkeyPatch, mail: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(mail)))


def stored(world: World) -> list[tuple[bytes, dict[str, str]]]:
    """Return the bytes and the metadata of each object under held/."""
    s3, name = world.session.client("s3"), world.stack.environ["MAIL_BUCKET"]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=name).get("Contents", [])]
    assert all(key.startswith("held/") for key in keys)
    found = [s3.get_object(Bucket=name, Key=key) for key in keys]
    return [(each["Body"].read(), each["Metadata"]) for each in found]


def mailboxes(world: World) -> set[str]:
    """Let hold handle all new objects; return the recipients of its rows."""
    assert world.hold(*world.held_messages()) == []
    table = world.stack.environ["QUARANTINE_TABLE"]
    return {
        item["recipient"]["S"] for item in world.session.client("dynamodb").scan(TableName=table)["Items"]
    }


# --- A pipe ---


@pytest.mark.parametrize(
    ("arguments", "metadata"),
    [
        pytest.param([], {}, id="all is left to the header"),
        pytest.param(["--recipient", BOB], {"recipients": BOB}, id="recipient"),
        pytest.param(["--recipient", BOB, "--recipient", AL], {"recipients": f"{BOB},{AL}"}, id="recipients"),
        pytest.param(["--reason", "spam"], {"reason": "spam"}, id="reason"),
        pytest.param(["--score", "12.5"], {"score": "12.5"}, id="score"),
        pytest.param(["--sender", "Eve <e@x.example>"], {"sender": "Eve <e@x.example>"}, id="sender"),
        pytest.param(["--recipient", "bob"], {"recipients": "bob"}, id="what is no address"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_is_stored(
    arguments: list[str], metadata: dict[str, str], world: World, terminal: Terminal
) -> None:
    assert terminal("hold", *arguments) == DONE
    assert stored(world) == [(MAIL, metadata)]


@pytest.mark.usefixtures("bucket")
def test_a_held_mail_becomes_a_row(world: World, terminal: Terminal) -> None:
    answer = terminal.json("hold", "--recipient", BOB, "--reason", "spam")
    assert mailboxes(world) == {BOB}
    (row,) = terminal.json("held", "list", BOB)
    # A mail without a Message-ID is identified by its key.
    assert (row["subject"], row["reason"], [row["message_id"]]) == ("Prize", "spam", answer["keys"])


# --- The tag ---


MARKED = b"X-Envelope-To: <bob@example.com>, <al@example.com>\r\nX-Spam-Flag: YES\r\n" + MAIL
TWO = {"recipients": f"{BOB},{AL}", "reason": "spam"}


def tags(world: World) -> list[dict[str, str]]:
    """Return the tags of each object under held/."""
    s3, name = world.session.client("s3"), world.stack.environ["MAIL_BUCKET"]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=name)["Contents"]]
    found = [s3.get_object_tagging(Bucket=name, Key=key)["TagSet"] for key in keys]
    return [{tag["Key"]: tag["Value"] for tag in each} for each in found]


@pytest.mark.parametrize(
    ("arguments", "mail", "metadata"),
    [
        pytest.param(
            ["--recipient", BOB, "--reason", "virus"],
            MAIL,
            {"recipients": BOB, "reason": "virus"},
            id="both are named",
        ),
        pytest.param(["--filter", "amavis"], MARKED, TWO, id="the filter names both"),
        pytest.param(
            ["--filter", "amavis", "--recipient", BOB],
            MARKED,
            {"recipients": BOB, "reason": "spam"},
            id="the filter says why",
        ),
        pytest.param(
            ["--filter", "amavis", "--reason", "bulk"],
            MARKED,
            {"recipients": f"{BOB},{AL}", "reason": "bulk"},
            id="the filter says for whom",
        ),
        pytest.param(
            ["--filter", "microsoft", "--filter", "rspamd", "--recipient", BOB],
            MARKED,
            {"recipients": BOB, "reason": "policy"},
            id="none of these filters says why",
        ),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_mail_whose_rows_are_certain_is_stored_with_its_tag(  # noqa: PLR0917 - three are of the case
    arguments: list[str],
    mail: bytes,
    metadata: dict[str, str],
    world: World,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, mail)
    assert terminal("hold", *arguments) == DONE
    assert stored(world) == [(mail, metadata | {"tagged": metadata["reason"]})]
    assert tags(world) == [{"reason": metadata["reason"]}]
    assert mailboxes(world) == set(metadata["recipients"].split(","))
    assert tags(world) == [{"reason": metadata["reason"]}]


@pytest.mark.parametrize(
    ("arguments", "mail"),
    [
        pytest.param(["--recipient", BOB], MAIL, id="no reason"),
        pytest.param(["--reason", "spam"], MARKED, id="no recipient"),
        pytest.param(["--recipient", "bob", "--reason", "spam"], MAIL, id="no address"),
        pytest.param(["--recipient", BOB, "--recipient", "bob", "--reason", "spam"], MAIL, id="one of two"),
        pytest.param(["--filter", "amavis"], MAIL, id="a filter that names nobody"),
        pytest.param(
            ["--filter", "amavis"], b"X-Envelope-To: bob\r\n" + MAIL, id="a filter that names no address"
        ),
        pytest.param(
            ["--filter", "amavis"], b"X-Envelope-To: bob@example.com, bob\r\n" + MAIL, id="one of its two"
        ),
        pytest.param(["--filter", "amavis"], b"Received: x\r\n" + MARKED, id="a sender's field"),
        pytest.param(["--filter", "amavis", "--recipient", "bob"], MARKED, id="no address, and a filter's"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_mail_that_hold_has_to_look_at_is_stored_without_a_tag(
    arguments: list[str], mail: bytes, world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, mail)
    assert terminal("hold", *arguments) == DONE
    assert tags(world) == [{}]
    assert ["tagged" in metadata for _, metadata in stored(world)] == [False]


class Denying:
    """An S3 client of a filter whose policy allows no tag, or nothing."""

    def __init__(self, client: Any, *, allows: bool) -> None:
        self._client, self._allows = client, allows
        self.tagged: list[bool] = []

    def put_object(self, **parameters: Any) -> Any:
        self.tagged.append("Tagging" in parameters)
        if "Tagging" in parameters or not self._allows:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
        return self._client.put_object(**parameters)


def denied(world: World, *, allows: bool, clock: Callable[[], float]) -> tuple[Denying, HeldMailWriter]:
    client = Denying(world.session.client("s3"), allows=allows)
    return client, HeldMailWriter(client, world.stack.environ["MAIL_BUCKET"], clock)  # type: ignore[arg-type]  # as much of it as is called


def test_where_a_tag_is_refused_the_mail_is_stored_without_it(world: World) -> None:
    now = 5.0
    client, writer = denied(world, allows=True, clock=lambda: now)
    metadata = HoldMetadata((BOB,), HoldReason.SPAM)
    for number in range(3):
        writer.put(b"%d" % number, metadata)
    assert client.tagged == [True, False, False, False]
    assert tags(world) == [{}, {}, {}]
    now += 3600
    (key,) = writer.put(MAIL, metadata)  # the stack may be a newer one by now
    assert client.tagged[4:] == [True, False]
    assert mailboxes(world) == {BOB}
    assert tags(world) == [{"reason": "spam"}] * 4
    (same,) = HeldMailWriter(world.session.client("s3"), world.stack.environ["MAIL_BUCKET"]).put(
        MAIL, metadata
    )
    assert same == key  # with or without a tag, it is one mail


def test_where_all_is_refused_the_mail_is_not_stored(world: World) -> None:
    _, writer = denied(world, allows=False, clock=lambda: 0.0)
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.put(MAIL, HoldMetadata((BOB,), HoldReason.SPAM))


def test_the_front_reads_the_fields_of_its_filter(world: World) -> None:
    handler = handler_of(world, by_header=True, families=[Family.AMAVIS])
    with serving(handler) as address, smtplib.SMTP(*address) as client:
        client.sendmail("", ["quarantine@filter.example"], MARKED)
    assert stored(world) == [(MARKED, TWO | {"tagged": "spam"})]
    assert tags(world) == [{"reason": "spam"}]


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(b"\x00\xff\xfe", id="no text"),
        pytest.param(b"From eve 2026\nSubject: x\n\n.\n..\n", id="as it came"),
        pytest.param(b"x" * 3_000_000, id="3 MB in a line"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_any_bytes_are_stored_as_they_are(
    mail: bytes, world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, mail)
    assert terminal("hold", "--recipient", BOB) == DONE
    assert stored(world) == [(mail, {"recipients": BOB})]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--recipents", BOB], "unrecognized arguments: --recipents", id="a wrong option"),
        pytest.param(["--recipient"], "expected one argument", id="an option without its value"),
        pytest.param([BOB], "unrecognized arguments: bob", id="an argument"),
        pytest.param(["--reason", "ugly"], "ugly", id="a wrong reason"),
        pytest.param(["--bucket", "there-is-none"], "NoSuchBucket", id="no bucket"),
        pytest.param(["--listen", "here"], "not HOST:PORT: here", id="no place to listen"),
        pytest.param(["--listen", "127.0.0.1:99999"], "65535", id="no port to listen"),
        pytest.param([*LISTEN, "--recipient", BOB], "not with --listen", id="a server for one recipient"),
        pytest.param([*LISTEN, "--score", "5"], "not with --listen", id="a server with a score"),
        pytest.param([*LISTEN, "--sender", "Eve"], "not with --listen", id="a server for one sender"),
        pytest.param(["--by-header"], "only with --listen", id="a server's option to a pipe"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_done_is_to_be_tried_again(
    arguments: list[str], says: str, world: World, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal("hold", *arguments) == LATER
    assert says in terminal.warned + capsys.readouterr().err
    assert stored(world) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(EndpointConnectionError(endpoint_url="https://s3"), "https://s3", id="not reachable"),
        pytest.param(
            ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject"), "AccessDenied", id="denied"
        ),
        pytest.param(ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"), "SlowDown", id="busy"),
        pytest.param(RuntimeError("of ours"), "RuntimeError: of ours", id="unexpected"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_mail_that_s3_does_not_take_is_to_be_tried_again(
    error: Exception, says: str, world: World, terminal: Terminal
) -> None:
    wire = Wire()
    wire.fail("s3", "PutObject", error)
    terminal.operator = replace(terminal.operator, session=wire.session)
    assert terminal("hold", "--recipient", BOB) == LATER
    assert says in terminal.warned
    assert stored(world) == []


def test_without_a_bucket_and_a_stack_it_is_to_be_tried_again(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAIL_BUCKET", raising=False)
    terminal.operator = replace(terminal.operator, stack_name="another")
    assert terminal("hold", "--recipient", BOB) == LATER
    assert "no stack another" in terminal.warned


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--recipient", BOB], DONE, id="a mail"),
        pytest.param(["--version"], DONE, id="the version"),
        pytest.param(["--recipents", BOB], LATER, id="a wrong option"),
        pytest.param(["--reason", "ugly"], LATER, id="a wrong reason"),
        pytest.param(["--bucket", "there-is-none"], LATER, id="no bucket"),
        pytest.param(["--by-header"], LATER, id="a server's option to a pipe"),
        pytest.param(["hold"], LATER, id="the word of the other command"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_the_command_of_the_mail_server_ends_with_two_codes(
    arguments: list[str], code: int, terminal: Terminal
) -> None:
    assert run(arguments, terminal.operator) == code


@pytest.mark.usefixtures("bucket")
def test_the_global_options_change_no_exit_code(terminal: Terminal) -> None:
    assert terminal("--stack", "mail", "hold", "--reason", "ugly") == LATER
    assert terminal("--no-such-option", "hold") == LATER


@pytest.mark.usefixtures("bucket")
def test_a_stack_that_is_named_like_a_command_changes_no_exit_code(terminal: Terminal) -> None:
    assert terminal("--stack", "report", "hold", "--reason", "ugly") == LATER


def test_the_bucket_is_that_of_the_stack_unless_named(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAIL_BUCKET", raising=False)
    assert terminal("hold", "--recipient", BOB) == DONE
    assert stored(world) == [(MAIL, {"recipients": BOB})]
    give(monkeypatch, MAIL)
    world.session.client("s3").create_bucket(Bucket="another")
    monkeypatch.setenv("MAIL_BUCKET", "another")
    assert terminal("hold", "--recipient", BOB) == DONE
    assert world.session.client("s3").list_objects_v2(Bucket="another")["KeyCount"] == 1


def test_with_a_bucket_named_only_s3_is_asked(bucket: str, terminal: Terminal) -> None:
    wire = Wire()
    terminal.operator = replace(terminal.operator, session=wire.session)
    assert terminal("hold", "--recipient", BOB) == DONE
    assert wire.calls == [("s3", "PutObject")]


@pytest.mark.usefixtures("bucket")
def test_the_same_mail_twice_is_one_object(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for arguments in [("--recipient", BOB), ("--recipient", BOB), ("--recipient", AL)]:
        give(monkeypatch, MAIL)
        answers.append(terminal.json("hold", *arguments)["keys"])
    assert answers[0] == answers[1] != answers[2]
    assert len(stored(world)) == 2
    # The second was not written over the first: that would make another row, or hold a released mail again.
    assert sum("Records" in message for message in world.held_messages()) == 2


@pytest.mark.usefixtures("bucket")
def test_recipients_that_have_no_room_in_one_object_are_in_several(world: World, terminal: Terminal) -> None:
    many = [f"a.long.local.part.{number}@department.example.com" for number in range(200)]
    arguments = [word for each in many for word in ("--recipient", each)]
    assert terminal("hold", "--reason", "bulk", *arguments) == DONE
    found = stored(world)
    assert len(found) > 1
    for mail, metadata in found:
        assert (mail, metadata["reason"]) == (MAIL, "bulk")
        assert sum(len(name) + len(value) for name, value in metadata.items()) <= 2048
    assert sorted(each for _, metadata in found for each in metadata["recipients"].split(",")) == sorted(many)
    assert mailboxes(world) == set(many)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("mail", [b"", b"\r\n", b" \n\n"], ids=["nothing", "a line end", "white space"])
def test_no_mail_at_all_is_refused(
    mail: bytes, world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, mail)
    assert terminal("hold", "--recipient", BOB) == LATER
    assert "there is no mail" in terminal.warned
    assert stored(world) == []


def test_a_sender_that_is_not_ascii_is_shown(world: World, terminal: Terminal) -> None:
    assert terminal("hold", "--recipient", BOB, "--sender", "Jürgen <j@x.example>") == DONE
    assert mailboxes(world) == {BOB}
    assert [row["sender"] for row in terminal.json("held", "list", BOB)] == ["Jürgen <j@x.example>"]


@pytest.mark.parametrize(
    "recipient",
    [
        pytest.param("bob", id="no address"),
        pytest.param("b\N{LATIN SMALL LETTER O WITH DIAERESIS}b@example.com", id="not ASCII"),
        pytest.param("bob@example.com\r\nx-amz-meta-reason: spam", id="a line end"),
        pytest.param("", id="empty"),
        pytest.param("b\udcf6b@example.com", id="a byte that is no text"),
        pytest.param('"a,bob@example.com,b"@example.com', id="an address in a quoted local part"),
        pytest.param("<bob@example.com", id="an open bracket"),
        pytest.param(f"{BOB}{' ' * 400}x", id="an address, spaces and more"),
        pytest.param("\N{PILE OF POO}" * 9000, id="36 KB"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_recipient_that_is_no_address_is_stored_and_waits(
    recipient: str, world: World, terminal: Terminal
) -> None:
    assert terminal("hold", "--recipient", recipient) == DONE
    assert "it will wait in the dead-letter queue" in terminal.warned
    ((_, metadata),) = stored(world)
    assert len("recipients") + len(metadata["recipients"]) <= 2048  # S3's limit
    assert mailboxes(world) == set()
    (letter,) = world.dead()
    assert letter["MessageAttributes"]["rejection"]["StringValue"] == "unreadable_recipient"


NO_ADDRESSES = [
    pytest.param("bob", id="no address"),
    pytest.param('"a,root@example.com,b"@example.com', id="an address in a quoted local part"),
    pytest.param("bob(a,root@example.com,b)@example.com", id="an address in a comment"),
    pytest.param("\N{PILE OF POO}" * 9000, id="36 KB"),
]


@pytest.mark.parametrize("recipient", NO_ADDRESSES)
@pytest.mark.usefixtures("bucket")
def test_a_recipient_that_is_no_address_takes_no_other_away(
    recipient: str, world: World, terminal: Terminal
) -> None:
    arguments = [word for each in (BOB, recipient, AL) for word in ("--recipient", each)]
    assert terminal("hold", *arguments) == DONE
    assert mailboxes(world) == {BOB, AL}
    (letter,) = world.dead()
    assert ascii(recipient)[1:80] in letter["MessageAttributes"]["detail"]["StringValue"]


@pytest.mark.usefixtures("bucket")
def test_a_recipient_of_an_international_domain_is_held(world: World, terminal: Terminal) -> None:
    assert terminal("hold", "--recipient", "bob@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example") == DONE
    assert terminal.warned == ""
    assert mailboxes(world) == {"bob@xn--bcher-kva.example"}


@pytest.mark.parametrize(
    ("command_line", "module", "code"),
    [
        pytest.param("quarantine-hold --recipient bob@example.com", "typer", LATER, id="a mail"),
        pytest.param("quarantine-hold --listen 127.0.0.1:0", "ops.hold.command", LATER, id="a server"),
        pytest.param("quarantine hold --recipient bob@example.com", "boto3", LATER, id="by the old name"),
        pytest.param("quarantine --stack mail hold", "ops.relay", LATER, id="after a global option"),
        pytest.param("quarantine relay list", "rich.text", 1, id="another command"),
    ],
)
def test_what_cannot_be_imported_is_to_be_tried_again(
    command_line: str, module: str, code: int, scripts: dict[str, str]
) -> None:
    name, *arguments = command_line.split()
    start, _, function = scripts[name].partition(":")
    command = f"import sys; sys.modules[{module!r}] = None; from {start} import {function}; {function}()"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert f"import of {module} halted" in done.stderr


# Each costs a pipe, which is a process for each mail.
NOT_FOR_A_PIPE = {
    *("aiosmtpd", "asyncio", "aws_lambda_powertools", "dns", "jinja2", "pydantic", "rich", "typer"),
    *(
        "ops.exits",
        "ops.operator",
        "ops.hold.front",
        "ops.importing",
        "quarantine.asking",
        "quarantine.reporting",
    ),
}


def test_a_pipe_imports_only_what_one_mail_needs() -> None:
    names = (
        "import sys; from ops.hold.command import run; code = run(['--bucket', 'mail']); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", names],
        cwd=PROJECT,
        env={"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == "error: there is no mail on standard input\n"  # it came as far as the mail
    assert NOT_FOR_A_PIPE.isdisjoint(done.stdout.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_cannot_be_told_either_is_to_be_tried_again() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ops", "hold", "--reason", "ugly"],
            cwd=PROJECT,
            stdout=full,
            stderr=full,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == LATER


# --- A server ---


@contextlib.contextmanager
def serving(handler: FrontHandler, **options: Any) -> Iterator[tuple[str, int]]:
    """Serve a front on a free port, in a thread; yield its host and port. options: of each connection."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> asyncio.Server:
        return await loop.create_server(lambda: connection(handler, loop, **options), "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        server.close_clients()
        await server.wait_closed()

    try:
        server = asyncio.run_coroutine_threadsafe(listen(), loop).result(PATIENCE)
        yield server.sockets[0].getsockname()
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def handler_of(world: World, wire: Wire | None = None, **options: Any) -> FrontHandler:
    session = wire.session if wire else world.session
    client = session.client("s3", config=PATIENT)
    return FrontHandler(HeldMailWriter(client, world.stack.environ["MAIL_BUCKET"]), **options)


@pytest.fixture
def front(world: World) -> Iterator[tuple[str, int]]:
    with serving(handler_of(world)) as address:
        yield address


def deliver(
    client: smtplib.SMTP, mail: bytes = MAIL, sender: str = "eve@x.example", to: tuple[str, ...] = (BOB,)
) -> list[tuple[int, str]]:
    """Send a mail; return the replies to its data: one by SMTP, one for each recipient by LMTP."""
    client.ehlo_or_helo_if_needed()
    assert client.mail(sender)[0] == 250
    for each in to:
        assert client.rcpt(each)[0] == 250
    replies = [client.data(mail)]
    if isinstance(client, smtplib.LMTP):
        replies += [client.getreply() for _ in to[1:]]
    return [(code, text.decode()) for code, text in replies]


CLIENTS = [pytest.param(smtplib.SMTP, id="SMTP"), pytest.param(smtplib.LMTP, id="LMTP")]


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize(
    ("mail", "sender"),
    [
        pytest.param(MAIL, "eve@x.example", id="a mail"),
        pytest.param(MAIL, "", id="a bounce"),
        pytest.param(b"Subject: \xe4\xff\r\n\r\n\x00\x80\r\n", "eve@x.example", id="8 bits"),
        pytest.param(
            b"Subject: x\r\n\r\n" + b"x" * 1_000_000 + b"\r\n", "eve@x.example", id="a line of 1 MB"
        ),
        pytest.param(b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n", "eve@x.example", id="dots"),
        pytest.param(b"hello\r\n", "eve@x.example", id="no header"),
    ],
)
def test_what_is_delivered_is_stored_as_it_is(
    client_class: type[smtplib.SMTP], mail: bytes, sender: str, front: tuple[str, int], world: World
) -> None:
    with client_class(*front, timeout=PATIENCE) as client:
        ((code, text),) = deliver(client, mail, sender)
    assert (code, text.startswith("2.0.0 held as held/")) == (250, True)
    assert stored(world) == [(mail, {"recipients": BOB})]


@pytest.mark.parametrize("client_class", CLIENTS)
def test_it_says_what_an_lmtp_server_must_have(
    client_class: type[smtplib.SMTP], front: tuple[str, int]
) -> None:
    """RFC 2033 5: some clients, such as amavis, deliver nothing without them."""
    with client_class(*front, timeout=PATIENCE) as client:
        client.ehlo_or_helo_if_needed()
        assert {"pipelining", "enhancedstatuscodes", "8bitmime"} <= client.esmtp_features.keys()


def test_it_does_not_say_how_large_a_mail_may_be(front: tuple[str, int]) -> None:
    """Postfix would bounce a larger mail by itself."""
    with smtplib.SMTP(*front, timeout=PATIENCE) as client:
        client.ehlo()
        assert "size" not in client.esmtp_features


def envelope(client: smtplib.SMTP, mail_from: str, rcpt_to: str, mail: bytes = MAIL) -> list[int]:
    """Send a mail with the commands unchanged; return the codes of the replies."""
    client.ehlo_or_helo_if_needed()
    commands = [client.docmd(f"MAIL {mail_from}".rstrip()), client.docmd(f"RCPT {rcpt_to}".rstrip())]
    return [*(code for code, _ in commands), client.data(mail)[0]]


TO_BOB = f"TO:<{BOB}>"


@pytest.mark.parametrize(
    "mail_from",
    [
        pytest.param("FROM:<>", id="a bounce"),
        pytest.param("FROM:", id="nothing"),
        pytest.param("FROM:<eve>", id="no domain"),
        pytest.param("FROM:<@>", id="no local part either"),
        pytest.param("FROM:<eve@x.example", id="no end"),
        pytest.param("FROM:eve@x.example", id="no brackets"),
        pytest.param("FROM:<eve@@x.example>", id="two at signs"),
        pytest.param("FROM:<eve..a.@x.example>", id="dots"),
        pytest.param("FROM:<e v e@x.example>", id="spaces"),
        pytest.param('FROM:<"eve@x.example>', id="an open quote"),
        pytest.param("FROM:<@a.example,@b.example:eve@x.example>", id="a route"),
        pytest.param("FROM:<eve@[300.1.1.1]>", id="no IP address"),
        pytest.param("FROM:<>>", id="a bracket too many"),
        pytest.param(f"FROM:<{'e' * 3000}@x.example>", id="3 KB"),
        pytest.param("FROM:<eve@x.example> BODY=BINARYMIME", id="a body of another kind"),
        pytest.param("FROM:<eve@x.example> SIZE=many", id="a size that is none"),
        pytest.param(f"FROM:<eve@x.example> SIZE={10**12}", id="a size beyond the limit"),
        pytest.param("FROM:<eve@x.example> RET=HDRS ENVID=QQ314159 AUTH=<> X-1=y", id="unknown parameters"),
    ],
)
@pytest.mark.parametrize("client_class", CLIENTS)
def test_any_envelope_sender_is_taken(
    client_class: type[smtplib.SMTP], mail_from: str, front: tuple[str, int], world: World
) -> None:
    """A spammer chose it, and it is not used."""
    with client_class(*front, timeout=PATIENCE) as client:
        assert envelope(client, mail_from, TO_BOB) == [250, 250, 250]
    assert stored(world) == [(MAIL, {"recipients": BOB})]


def test_any_envelope_sender_is_taken_after_helo(front: tuple[str, int], world: World) -> None:
    with smtplib.SMTP(*front, timeout=PATIENCE) as client:
        assert client.helo()[0] == 250
        assert envelope(client, f"FROM:<{'e' * 3000}> X=y", f"{TO_BOB} X=y") == [250, 250, 250]
    assert stored(world) == [(MAIL, {"recipients": BOB})]


@pytest.mark.parametrize(
    "rcpt_to",
    [
        pytest.param(f"TO:<{BOB}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+20b@x.example", id="parameters"),
        pytest.param(f"to: <{BOB}>", id="its spelling"),
        pytest.param(f"TO:{BOB}", id="no brackets"),
        pytest.param("TO:<Bob@EXAMPLE.com>", id="its case"),
    ],
)
def test_the_recipient_is_who_is_in_the_path(rcpt_to: str, front: tuple[str, int], world: World) -> None:
    with smtplib.SMTP(*front, timeout=PATIENCE) as client:
        assert envelope(client, "FROM:<>", rcpt_to) == [250, 250, 250]
    assert mailboxes(world) == {BOB}


@pytest.mark.parametrize(
    "rcpt_to",
    [
        pytest.param("TO:<bob>", id="no domain"),
        pytest.param("TO:<>", id="an empty path"),
        pytest.param("TO:", id="nothing"),
        pytest.param("TO:<bob@example.com", id="no end"),
        pytest.param("TO:<bob@example.com>al@example.com>", id="a bracket too many"),
        pytest.param('TO:<"b> ob"@example.com>', id="a quoted local part"),
        pytest.param('TO:<"a,bob@example.com,c"@example.com>', id="with an address in it"),
        pytest.param("TO:<bob(a,al@example.com,b)@example.com>", id="a comment"),
        pytest.param("TO:<@a.example:bob@example.com>", id="a route"),
        pytest.param("TO:<bob@[192.0.2.1]>", id="an IP address"),
        pytest.param(f"TO:<{'b' * 5000}@example.com>", id="5 KB"),
        pytest.param(f"TO:<bob@example.com{' ' * 400}x>", id="an address, spaces and more"),
    ],
)
@pytest.mark.parametrize("client_class", CLIENTS)
def test_an_envelope_recipient_that_is_no_address_is_stored_and_waits(
    client_class: type[smtplib.SMTP], rcpt_to: str, front: tuple[str, int], world: World
) -> None:
    """It is held for nobody else, and not returned to the address that the spammer chose."""
    with client_class(*front, timeout=PATIENCE) as client:
        assert envelope(client, "FROM:<>", rcpt_to) == [250, 250, 250]
    ((mail, metadata),) = stored(world)
    assert mail == MAIL
    assert len("recipients") + len(metadata["recipients"]) <= 2048  # S3's limit
    assert mailboxes(world) == set()
    (letter,) = world.dead()
    assert letter["MessageAttributes"]["rejection"]["StringValue"] == "unreadable_recipient"


def test_an_envelope_recipient_that_is_no_address_takes_no_other_away(
    front: tuple[str, int], world: World
) -> None:
    with smtplib.LMTP(*front, timeout=PATIENCE) as client:
        to = (BOB, '"a,root@example.com,b"@example.com', AL)
        assert [code for code, _ in deliver(client, to=to)] == [250] * 3
    assert mailboxes(world) == {BOB, AL}
    (letter,) = world.dead()
    assert '"a,root@example.com,b"@example.com' in letter["MessageAttributes"]["detail"]["StringValue"]


@pytest.mark.parametrize(("client_class", "replies"), [(smtplib.SMTP, 1), (smtplib.LMTP, 3)])
def test_lmtp_has_a_reply_for_each_recipient(
    client_class: type[smtplib.SMTP], replies: int, front: tuple[str, int], world: World
) -> None:
    to = (BOB, AL, "root@example.com")
    with client_class(*front, timeout=PATIENCE) as client:
        assert [code for code, _ in deliver(client, to=to)] == [250] * replies
        assert client.noop()[0] == 250  # no reply is left over
        assert [code for code, _ in deliver(client, to=(BOB,))] == [250]
    assert mailboxes(world) == set(to)


def test_a_client_that_says_lhlo_is_told_what_it_can_use(front: tuple[str, int]) -> None:
    with smtplib.LMTP(*front, timeout=PATIENCE) as client:
        assert client.ehlo()[0] == 250  # this client sends LHLO
        assert {"8bitmime", "smtputf8"} <= client.esmtp_features.keys()


@pytest.mark.parametrize(("client_class", "replies"), [(smtplib.SMTP, 1), (smtplib.LMTP, 2)])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject"), id="denied"),
        pytest.param(EndpointConnectionError(endpoint_url="https://s3"), id="not reachable"),
    ],
)
def test_what_is_not_stored_is_to_be_tried_again(
    error: Exception, client_class: type[smtplib.SMTP], replies: int, world: World
) -> None:
    wire = Wire()
    wire.fail("s3", "PutObject", error)
    with serving(handler_of(world, wire)) as address, client_class(*address, timeout=PATIENCE) as client:
        codes = [code for code, _ in deliver(client, to=(BOB, AL)[:replies])]
    assert codes == [451] * replies
    assert stored(world) == []


@pytest.mark.parametrize(
    ("client_class", "replies"),
    [
        pytest.param(smtplib.SMTP, 1, id="SMTP"),
        pytest.param(smtplib.LMTP, 2, id="LMTP"),
    ],
)
def test_what_fails_unexpectedly_is_to_be_tried_again(
    client_class: type[smtplib.SMTP], replies: int, world: World
) -> None:
    wire = Wire()
    wire.fail("s3", "PutObject", RuntimeError("of ours"))
    with serving(handler_of(world, wire)) as address, client_class(*address, timeout=PATIENCE) as client:
        codes = [code for code, _ in deliver(client, to=(BOB, AL)[:replies])]
    assert codes == [451] * replies


@pytest.mark.parametrize(("client_class", "replies"), [(smtplib.SMTP, 1), (smtplib.LMTP, 3)])
@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(b"line of 20 octets.\r\n" * 500, id="many lines"),
        pytest.param(b"x" * 10_000 + b"\r\n", id="a line"),
        pytest.param(b"Subject: x\r\n\r\n" + b"x" * 10_000 + b"\r\nend\r\n", id="a line within"),
    ],
)
def test_a_mail_that_is_too_large_is_still_the_clients(
    mail: bytes,
    client_class: type[smtplib.SMTP],
    replies: int,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ops.hold.front._LARGEST_MAIL", 5000)
    monkeypatch.setattr("ops.hold.front.Front.line_length_limit", 5000)
    to = (BOB, AL, "root@example.com")
    with serving(handler_of(world)) as address, client_class(*address, timeout=PATIENCE) as client:
        assert [code for code, _ in deliver(client, mail, to=to)] == [452] * replies
        assert client.noop()[0] == 250  # no reply is left over
        assert stored(world) == []
        assert [code for code, _ in deliver(client, to=to)] == [250] * replies


def test_a_mail_that_was_cut_off_is_not_stored(front: tuple[str, int], world: World) -> None:
    with socket.create_connection(front, timeout=PATIENCE) as connected, connected.makefile("rwb") as stream:
        for line in (b"", b"EHLO x", b"MAIL FROM:<>", b"RCPT TO:<bob@example.com>", b"DATA"):
            if line:
                stream.write(line + b"\r\n")
                stream.flush()
            while stream.readline()[3:4] == b"-":
                pass
        stream.write(b"Subject: half\r\n")
    with smtplib.SMTP(*front, timeout=PATIENCE) as client:
        deliver(client)
    assert stored(world) == [(MAIL, {"recipients": BOB})]


@pytest.mark.parametrize(
    ("options", "metadata"),
    [
        pytest.param({}, {"recipients": BOB}, id="as the envelope says"),
        pytest.param(
            {"reason": HoldReason.VIRUS},
            {"recipients": BOB, "reason": "virus", "tagged": "virus"},
            id="a reason",
        ),
        pytest.param({"by_header": True}, {}, id="as the header says"),
    ],
)
def test_what_a_front_tells_of_a_mail(
    options: dict[str, Any], metadata: dict[str, str], world: World
) -> None:
    with serving(handler_of(world, **options)) as address, smtplib.SMTP(*address, timeout=PATIENCE) as client:
        deliver(client)
    assert stored(world) == [(MAIL, metadata)]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_front_of_its_own_stops_when_told(by: signal.Signals) -> None:
    arguments = ["--output", "json", "hold", "--bucket", "mail", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "ops", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = list(iter(process.stdout.readline, "}\n"))
            ready = json.loads("".join([*lines, "}"]))
            host, _, port = ready["listening"][0].rpartition(":")
            with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
                assert client.ehlo()[0] == 250
            process.send_signal(by)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_an_address_in_use_is_to_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "ops", "hold", "--bucket", "mail", "--listen", f"127.0.0.1:{port}"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (LATER, "")
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
