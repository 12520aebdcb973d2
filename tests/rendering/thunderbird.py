"""Thunderbird as Debian packs it, on a display of its own: what it shows of mails, and what it links.

It is driven by its own automation protocol, Marionette, with a new profile in a temporary folder.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.rendering import node

_SCRIPT = (node.HERE / "thunderbird.js").read_text()
_ANSWERS_WITHIN = 60  # seconds
# The width of a window, and whether the desktop is dark.
_VIEWS = {"light": (900, False), "dark": (900, True), "narrow": (420, False)}
_SETTINGS = {  # no first run, nothing asked of a network
    "app.update.auto": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "mail.accounthub.enabled": False,
    "mail.chat.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.shell.checkDefaultClient": False,
    "mailnews.start_page.enabled": False,
    "network.dns.disabled": True,
}


@dataclass(frozen=True, slots=True)
class Pane:
    """How a mail is shown. Widths in pixels, colours and sizes as CSS computes them, or None.

    links: each link's target and text. offers: the bars above the mail, such as the offer to decrypt it.
    """

    links: list[tuple[str, str]]
    offers: list[str]
    width: int
    widest: int
    ink: str | None
    page: str | None
    card: str | None
    card_border: str | None
    tag: str | None
    tag_radius: str | None
    title_is_above: bool | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One mail. views: of its HTML, "light" and of a pictured mail "dark" and "narrow"."""

    text: Pane
    views: dict[str, Pane]


type Call = Callable[..., Any]


def show(mails: Mapping[str, EmailMessage], pictured: Collection[str], folder: Path) -> dict[str, Shown]:
    """Open both parts of each mail in Thunderbird, and write pictures of some mails to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[str, Shown] = {}
    with tempfile.TemporaryDirectory(prefix="thunderbird-") as name, _running(Path(name)) as driver:
        for number, (mail_name, mail) in enumerate(mails.items()):
            path = Path(name) / f"{number}-mail.eml"
            path.write_bytes(mail.as_bytes(policy=policy.SMTP))
            text = _open(driver, path, "light", is_plain=True)
            views: dict[str, Pane] = {}
            for view in _VIEWS if mail_name in pictured else ("light",):
                views[view] = _open(driver, path, view, is_plain=False)
                if mail_name in pictured:
                    _picture(driver, folder / f"thunderbird-{mail_name}-{view}.png")
            shown[mail_name] = Shown(text, views)
    return shown


def _open(driver: Any, path: Path, view: str, *, is_plain: bool) -> Pane:
    from marionette_driver import Wait  # noqa: PLC0415 - only `make test-rendering` has it

    _call(driver, "open", str(path), is_plain, *_VIEWS[view])
    wait = Wait(driver, timeout=_ANSWERS_WITHIN, interval=0.05)
    found: dict[str, Any] = wait.until(lambda _: _call(driver, "look", path.name))
    links = [(target, text) for target, text in found.pop("links")]
    return Pane(links=links, **found)


def _call(driver: Any, function: str, *arguments: object) -> Any:
    return driver.execute_script(
        f"{_SCRIPT}\nreturn {function}(...arguments)", script_args=arguments, sandbox="system"
    )


def _picture(driver: Any, path: Path) -> None:
    main, *_, window = driver.chrome_window_handles
    driver.switch_to_window(window)
    path.write_bytes(base64.b64decode(driver.screenshot(full=False)))
    driver.switch_to_window(main)


@contextmanager
def _running(folder: Path) -> Iterator[Any]:
    from marionette_driver.marionette import Marionette  # noqa: PLC0415 - as above

    port = _free_port()
    settings = _SETTINGS | {"marionette.port": port}
    (folder / "profile").mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in settings.items()]
    (folder / "profile/user.js").write_text("\n".join(lines))
    command = [
        *(node.program("xvfb-run"), "--auto-servernum", "--server-args=-screen 0 1000x1100x24 -nolisten tcp"),
        *(node.program("thunderbird"), "--profile", str(folder / "profile"), "--no-remote"),
        *("--marionette", "--remote-allow-system-access"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}, start_new_session=True
        )
    try:
        driver = Marionette(host="127.0.0.1", port=port, socket_timeout=_ANSWERS_WITHIN)
        driver.start_session(timeout=_ANSWERS_WITHIN)
        driver.set_context("chrome")
        yield driver
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its display; nothing of the profile is kept
        process.wait()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number: int = server.getsockname()[1]
        return number
