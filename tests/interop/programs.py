"""Mail servers and filters of Debian, each a separate instance in a directory of the test.

They listen on the addresses and ports in their recipes: the test has its own network (see `run`).
"""

import json
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.tls import self_signed

HERE = Path(__file__).parent
QUARANTINE = Path(sys.executable).parent / "quarantine"
PASSWORD = "secret-of-the-relay"  # of the user `quarantine`, on Postfix's submission port
STRANGER = "192.0.2.10"  # an address of lo that does not belong to Postfix's own networks
SES, FRONT, S3 = 2525, 2526, 4566  # ports, as in the recipes
_PATIENCE = 120  # seconds: a filter reads thousands of rules before it answers


def eventually[T](look: Callable[[], T], what: str) -> T:
    """Return the first true value that `look` returns."""
    deadline = time.monotonic() + _PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE} s: {what}")
        time.sleep(0.1)
    return seen


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def program(
    log: Path, port: int, *command: str | Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program with its children until the end of the block; it listens already."""
    with (
        log.open("a") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env=environ, start_new_session=True
        ) as process,
    ):
        try:
            eventually(lambda: process.poll() is not None or _answers(port), f"{command[0]} is up: see {log}")
            assert process.poll() is None, log.read_text()
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


# --- Postfix ---


@dataclass(frozen=True, slots=True)
class Postfix:
    """A company's mail server. configuration: its folder, with the mailboxes of its users."""

    configuration: Path

    def delivered(self, user: str, folder: str = "") -> list[bytes]:
        """Return the mails in a user's mailbox. folder: such as `.Junk/`; empty for the inbox."""
        return [path.read_bytes() for path in self.configuration.glob(f"mailboxes/{user}/{folder}new/*")]

    def deferred(self) -> list[str]:
        """Return the reasons why mail was not delivered, a line for each recipient in the queue."""
        return [
            recipient["delay_reason"]
            for mail in self.run("postqueue", "-j").splitlines()
            for recipient in json.loads(mail)["recipients"]
            if "delay_reason" in recipient
        ]

    def is_empty(self) -> bool:
        return not self.run("postqueue", "-j")

    def flush(self) -> None:
        """Retry all mail in the queue now."""
        self.run("postqueue", "-f")

    def run(self, name: str, *arguments: str) -> str:
        """Run a program of Postfix for this server; return what it prints."""
        return _output(name, "-c", self.configuration, *arguments)


@contextmanager
def postfix(directory: Path, recipe: str, environ: Mapping[str, str]) -> Iterator[Postfix]:
    """Run Postfix with the recipe of a filter. environ: of the command `quarantine-hold`."""
    configuration = directory / "postfix"
    configuration.mkdir(exist_ok=True)
    names = [name for part in ("postfix", "release", recipe) for name in sorted((HERE / part).glob("*"))]
    by_kind = {
        kind: "\n".join(path.read_text() for path in names if path.name.endswith(kind))
        for kind in ("main.cf", "master.cf")
    }
    for path in names:
        if path.is_file() and path.suffix != ".cf":
            shutil.copy(path, configuration)
    exported = "".join(f"\n    {name}={value}" for name, value in environ.items())
    (configuration / "main.cf").write_text(
        f"{by_kind['main.cf']}\n"
        f"queue_directory = {directory}/queue\ndata_directory = {directory}/data\n"
        f"maillog_file = {directory}/mail.log\nmaillog_file_prefixes = {directory}\n"
        f"export_environment = TZ MAIL_CONFIG LANG{exported}\n"
    )
    (configuration / "master.cf").write_text(
        by_kind["master.cf"]
        .replace("user=quarantine", "user=nobody")
        .replace("/usr/local/bin/quarantine", str(QUARANTINE))
    )
    self_signed(configuration / "certificate.pem", key_first=True)
    _own(directory / "data", "postfix")
    (directory / "queue").mkdir()
    server = Postfix(configuration)
    server.run("postfix", "start")
    try:
        yield server
    finally:
        server.run("postfix", "stop")


@contextmanager
def dovecot(directory: Path) -> Iterator[None]:
    """Run Dovecot, which delivers to the mailboxes of Postfix's configuration."""
    home, mailboxes = directory / "dovecot", directory / "postfix" / "mailboxes"
    home.mkdir()
    _own(mailboxes, "nobody")
    shutil.copy(HERE / "dovecot" / "junk.sieve", home)
    values = {"MAILBOXES": mailboxes, "DIRECTORY": home, "PASSWORD": PASSWORD}
    text = (HERE / "dovecot" / "dovecot.conf").read_text()
    for name, value in values.items():
        text = text.replace(name, str(value))
    configuration = home / "dovecot.conf"
    places = f"base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {directory}/dovecot.log\n"
    configuration.write_text(text + places)
    _output("sievec", "-c", configuration, home / "junk.sieve")
    with program(directory / "dovecot.out", 24, "dovecot", "-F", "-c", configuration):
        yield


def _own(directory: Path, user: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.chown(directory, user)


def _output(*command: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


# --- Clients ---


def mail_from_outside(sender: str, recipients: str, subject: str, body: str) -> None:
    """Deliver a mail to Postfix as a server on the internet does."""
    _swaks(
        "--local-interface", STRANGER, "--helo", "supplier.example",
        "--from", sender, "--to", recipients, "--header", f"Subject: {subject}", "--body", body,
    )  # fmt: skip


def hand_over_from_outside(sender: str, recipients: Sequence[str], mail: bytes) -> None:
    """Deliver a mail to Postfix, byte for byte."""
    with smtplib.SMTP("127.0.0.1", 25, "supplier.example", source_address=(STRANGER, 0)) as client:
        client.sendmail(sender, recipients, mail, ["BODY=8BITMIME"])


def ask_with_swaks(user: str, trigger: str) -> None:
    _swaks("--from", user, "--to", trigger, "--header", "Subject: What is held for me?")


def _swaks(*arguments: str) -> None:
    _output("swaks", "--server", "127.0.0.1", *arguments)


def ask_with_msmtp(user: str, trigger: str) -> None:
    mail = f"From: {user}\nTo: {trigger}\nSubject: What is held for me?\n\nAnything will do.\n"
    _output("msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--from={user}", trigger, stdin=mail)


# --- Filters ---


@contextmanager
def rspamd(directory: Path) -> Iterator[None]:
    home = directory / "rspamd"
    for folder in ("local.d", "test.d"):
        shutil.copytree(HERE / "rspamd" / folder, home / "conf" / "local.d", dirs_exist_ok=True)
    for folder in ("db", "log", "run"):
        _own(home / folder, "_rspamd")
    places = {"LOCAL_CONFDIR": "conf", "DBDIR": "db", "LOGDIR": "log", "RUNDIR": "run"}
    variables = [f"--var={name}={home / folder}" for name, folder in places.items()]
    with program(
        directory / "rspamd.out", 11332,
        "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf", *variables,
    ):  # fmt: skip
        yield


@contextmanager
def amavis(directory: Path) -> Iterator[None]:
    _own(directory / "amavis", "amavis")
    ours = HERE / "amavis"
    with program(
        directory / "amavis.out", 10024,
        "amavisd", "-c", "/etc/amavis/conf.d/20-debian_defaults",
        "-c", ours / "test", "-c", ours / "60-quarantine", "foreground",
        environ={**os.environ, "INTEROP_DIRECTORY": str(directory)},
    ):  # fmt: skip
        yield


@contextmanager
def spamassassin(directory: Path) -> Iterator[None]:
    user = "debian-spamd"
    _own(directory / "spamassassin", user)
    with (
        program(
            directory / "spamd.out", 783,
            "spamd", "--local", "--listen=127.0.0.1:783", f"--username={user}", "--nouser-config",
            f"--helper-home-dir={directory}/spamassassin", "--max-children=1", "--syslog=stderr",
        ),
        program(
            directory / "spamass-milter.out", 11339,
            "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
            "spamass-milter", "-p", "inet:11339@127.0.0.1", "-m", "--", "-d", "127.0.0.1",
        ),
    ):  # fmt: skip
        yield


FILTERS = {"rspamd": rspamd, "amavis": amavis, "spamassassin": spamassassin}


# --- Ours ---


@contextmanager
def front(directory: Path, family: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Run `quarantine-hold --listen` for a filter, with STARTTLS."""
    certificate = self_signed(directory / "front.pem")
    with program(
        directory / "front.out", FRONT,
        f"{QUARANTINE}-hold", "--listen", f"127.0.0.1:{FRONT}", "--filter", family,
        "--tls-cert", str(certificate),
        environ={**os.environ, **environ},
    ):  # fmt: skip
        yield


@contextmanager
def agent(directory: Path, to: str, postfix: Postfix, environ: Mapping[str, str]) -> Iterator[None]:
    """Run `quarantine deliver`. to: its target; sendmail is that of `postfix`."""
    command = [str(QUARANTINE), "deliver", "--to", to, "--domain", "example.com", "--wait", "1"]
    with (directory / "agent.out").open("a") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **environ, "MAIL_CONFIG": str(postfix.configuration)},
        )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(_PATIENCE) == 0


class Door:
    """The connection to S3, which can be closed, so that a program that holds mail cannot reach S3."""

    def __init__(self, log: Path, port: int) -> None:
        """port: the real port of S3."""
        self._log, self._port, self._open = log, port, ExitStack()

    def open(self) -> None:
        listen = f"TCP-LISTEN:{S3},bind=127.0.0.1,fork,reuseaddr"
        self._open.enter_context(program(self._log, S3, "socat", listen, f"TCP:127.0.0.1:{self._port}"))

    def shut(self) -> None:
        self._open.close()
