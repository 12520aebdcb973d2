"""The emulator that the template is deployed to: ministack, on a free port of this machine."""

import json
import os
import platform
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In its own environment: its botocore differs from SAM's, and the functions must see only the layer of this
# project's libraries.
EMULATOR = ("--from", "ministack==1.5.33", "--with", "aws-sam-translator==1.115.0", "ministack")
REGION = "eu-west-1"
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")


def eventually[T](look: Callable[[], T], within: float = 60) -> T:
    """Call `look` until it returns something."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {within} s"
        time.sleep(0.1)
    return seen


def environment(home: Path) -> dict[str, str]:
    """The environment for the emulator and SAM: the paths of programs and caches, but no AWS account."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV"))} | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TMPDIR": str(home),
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "SAM_CLI_TELEMETRY": "0",
    }


@dataclass(frozen=True, slots=True)
class Emulator:
    """The address of the emulator. certificate: the one that it presents."""

    url: str
    certificate: Path

    def get(self, path: str) -> Any:
        """Call an endpoint for which AWS has no API."""
        trust = ssl.create_default_context(cafile=str(self.certificate)) if self.url[:5] == "https" else None
        address = f"{self.url}/_ministack/{path}"
        with urllib.request.urlopen(address, timeout=10, context=trust) as response:  # noqa: S310  # ours
            return json.load(response)

    def is_ready(self) -> bool:
        try:
            return bool(self.get("ready"))
        except OSError:  # there is no certificate yet, it does not listen yet, or it is not ready
            return False


def with_numbers(client: Any) -> None:
    """Give each event source mapping its concurrency as a number. client: of Lambda.

    CloudFormation converts a parameter to a number; the emulator leaves it a text, on which its poller fails.
    """
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        most = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        if most is not None:
            client.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(most)}
            )


ENFORCING = {"AUTH": "true", "USE_SSL": "1"}  # IAM, and TLS to see its conditions


@contextmanager
def running(home: Path, settings: dict[str, str]) -> Iterator[Emulator]:
    """Run an emulator until the end of the block; it is ready and empty.

    settings: ENFORCING; or none, for plain HTTP without authorisation.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scheme = "https" if "USE_SSL" in settings else "http"
    found = Emulator(f"{scheme}://127.0.0.1:{port}", home / "ministack-tls" / "server.crt")
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [os.environ.get("UV", "uv"), "tool", "run", "--python", sys.executable, *EMULATOR],
            env=environment(home)
            | {
                "GATEWAY_PORT": str(port),
                "BIND_HOST": "127.0.0.1",
                "MINISTACK_HOST": "127.0.0.1",
                "MINISTACK_REGION": REGION,
                "IOT_MTLS_ENABLED": "0",  # no other port
                "SFTP_ENABLED": "0",
                "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
            }
            | settings,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            eventually(lambda: found.is_ready() or process.poll() is not None, within=120)
            assert process.poll() is None, (home / "log").read_text()
            yield found
        finally:
            with suppress(ProcessLookupError):  # it has exited already
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):  # all processes have exited
                os.killpg(process.pid, signal.SIGKILL)
