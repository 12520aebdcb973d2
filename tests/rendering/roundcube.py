"""Roundcube as Debian packs it, before an IMAP server of its own: what it shows of mails, and what it links.

Dovecot and PHP's own web server run on 127.0.0.1 and keep everything in a temporary folder. The machine's own
configuration of both is neither read nor changed.
"""

import contextlib
import grp
import imaplib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.rendering import node

_ROUNDCUBE = Path("/var/lib/roundcube/public_html")
_DEFAULTS = Path("/etc/roundcube/defaults.inc.php")
_MAILBOX = "bob@example.com"
_STARTS_WITHIN = 30  # seconds

# For Dovecot 2.3. Everything runs as the user that starts it.
_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""

_CONFIG = """<?php
$config = [
    'db_dsnw' => 'sqlite:///{folder}/roundcube.sqlite?mode=0600',
    'imap_host' => '127.0.0.1:{imap}',
    'des_key' => '{key}',
    'log_driver' => 'stdout',
    'temp_dir' => '{folder}',
    'plugins' => [],
    'skin' => 'elastic',
    'language' => 'en_US',
];
"""


@dataclass(frozen=True, slots=True)
class Pane:
    """How a mail is shown. Widths in pixels, colours and sizes as CSS computes them; None without a list.

    widest: of all that the mail's pane holds.
    """

    width: int
    widest: int
    page_width: int
    page_widest: int
    page: str
    card: str
    card_border: str
    tag: str | None
    tag_radius: str | None
    title_is_above: bool | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One mail. links: each target and text, for "html" and "text". views: "light", "dark", "narrow"."""

    links: dict[str, list[tuple[str, str]]]
    views: dict[str, Pane]


def show(mails: Mapping[str, EmailMessage], pictured: Collection[str], folder: Path) -> dict[str, Shown]:
    """Open both parts of each mail in Roundcube, and write pictures of some mails to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex()
    with (
        _imap_server(password) as imap,
        _web_server(imap) as url,
    ):
        _deliver(imap, password, mails)
        said: Any = node.run(
            "roundcube.mjs",
            {
                "chromium": node.chromium(),
                "url": url,
                "mailbox": _MAILBOX,
                "password": password,
                "folder": str(folder),
                "mails": [{"name": name, "pictured": name in pictured} for name in mails],
            },
        )
    return {name: _shown(**shown) for name, shown in said.items()}


def _shown(links: dict[str, list[list[str]]], views: dict[str, dict[str, Any]]) -> Shown:
    pairs = {part: [(target, text) for target, text in found] for part, found in links.items()}
    return Shown(pairs, {view: Pane(**pane) for view, pane in views.items()})


def _deliver(port: int, password: str, mails: Mapping[str, EmailMessage]) -> None:
    """Put the mails into the mailbox; it is new, so their UIDs are 1, 2, 3 (RFC 3501 2.3.1.1)."""
    with imaplib.IMAP4("127.0.0.1", port) as client:
        client.login(_MAILBOX, password)
        for mail in mails.values():
            said, why = client.append("INBOX", "", "", mail.as_bytes())
            assert said == "OK", why


@contextmanager
def _imap_server(password: str) -> Iterator[int]:
    port = _free_port()
    user = _user()
    values = {"user": user.pw_name, "group": grp.getgrgid(user.pw_gid).gr_name, "password": password}
    with _folder(user) as folder:
        (folder / "dovecot.conf").write_text(_DOVECOT.format(folder=folder, port=port, **values))
        with _server([node.program("dovecot"), "-F", "-c", "dovecot.conf"], folder, user, port):
            yield port


@contextmanager
def _web_server(imap: int) -> Iterator[str]:
    assert _DEFAULTS.exists(), "no Roundcube on this machine: `make test-rendering` installs it on Debian"
    port, user = _free_port(), _user()
    with _folder(user) as folder:
        shutil.copy(_DEFAULTS, folder)
        shutil.copy(_DEFAULTS.with_name("mimetypes.php"), folder)
        key = secrets.token_hex(12)  # 24 letters, as its cipher wants
        (folder / "config.inc.php").write_text(_CONFIG.format(folder=folder, imap=imap, key=key))
        command = [node.program("php"), "-S", f"127.0.0.1:{port}", "-t", str(_ROUNDCUBE)]
        with _server(
            command, folder, user, port, ROUNDCUBE_CONFIG_DIR=str(folder), PHP_CLI_SERVER_WORKERS="4"
        ):
            yield f"http://127.0.0.1:{port}"


def _user() -> pwd.struct_passwd:
    """Return who the servers run as: Dovecot serves no mail as root."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


@contextmanager
def _folder(user: pwd.struct_passwd) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="roundcube-") as name:
        os.chown(name, user.pw_uid, user.pw_gid)
        yield Path(name)


@contextmanager
def _server(
    command: list[str], folder: Path, user: pwd.struct_passwd, port: int, **environment: str
) -> Iterator[None]:
    """Run a server in a folder, with its children. Raises AssertionError if it does not listen."""
    with (folder / "log").open("ab") as log:
        os.fchown(log.fileno(), user.pw_uid, user.pw_gid)
        # In root's place; without root these three change nothing.
        other: Any = (
            {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        )
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **other,
        )
    try:
        until = time.monotonic() + _STARTS_WITHIN
        while not _listens(port):
            is_hopeless = server.poll() is not None or time.monotonic() > until
            assert not is_hopeless, (folder / "log").read_text()
            time.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number: int = server.getsockname()[1]
        return number
