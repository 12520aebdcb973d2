"""`make audit`, its last part: known vulnerabilities of what the lock names, as pip-audit finds them.

A finding is a failure. A package for which the service of vulnerabilities has no answer is only named: an
outage there says nothing about this project, and a silence must not look like a clean result.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

# The lines are exact versions from the lock, so nothing is resolved and pip is not asked.
_OPTIONS = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
# Runs without an answer. One package that pip-audit stumbles over costs eight of them among 200 packages.
_PATIENCE = 24


@dataclass(frozen=True, slots=True)
class Checked:
    """A package about which the service answered. findings: a line for each known vulnerability."""

    package: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A package about which the service did not answer."""

    package: str
    why: str


type Result = Checked | NotChecked


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run of pip-audit left behind."""

    exit_code: int
    out: str
    err: str


type Ask = Callable[[Sequence[str]], Answer]
"""Runs pip-audit on some lines of a requirements file."""


def pinned(texts: Iterable[str]) -> list[str]:
    """Return each requirement of some requirements files once, without comments."""
    lines = (line.partition(" #")[0].strip() for text in texts for line in text.splitlines())
    return sorted({line for line in lines if line and not line.startswith("#")})


def audit(requirements: Sequence[str], ask: Ask) -> Iterator[Result]:
    """Yield a result for each package. A part without an answer is asked again in halves."""
    parts, failed = [list(requirements)], 0
    while parts:
        part = parts.pop()
        answer = ask(part)
        if (results := read_report(answer.out)) is not None:
            yield from results
            continue
        failed += 1
        if len(part) > 1 and failed < _PATIENCE:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
            continue
        left = [*part, *(line for each in parts for line in each)] if failed >= _PATIENCE else part
        yield from (NotChecked(_name(line), _last_line(answer)) for line in left)
        if failed >= _PATIENCE:
            return


def read_report(out: str) -> list[Result] | None:
    """Read pip-audit's JSON; None if it wrote none, because the service failed in a way that ended it."""
    try:
        report = json.loads(out)
    except ValueError:
        return None
    return [_result(each) for each in report["dependencies"]]


def _result(dependency: dict[str, object]) -> Result:
    match dependency:
        case {"name": str(name), "skip_reason": str(why)}:
            return NotChecked(name, why)
        case {"name": str(name), "version": str(version), "vulns": list(found)}:
            package = f"{name} {version}"
            return Checked(package, tuple(_finding(package, each) for each in found))
        case _:
            raise ValueError(f"pip-audit's report has another form: {dependency}")


def _finding(package: str, found: dict[str, list[str]]) -> str:
    names = ", ".join([str(found["id"]), *found.get("aliases", [])])
    fixed = ", ".join(found["fix_versions"]) or "no version"
    return f"finding: {package}: {names}, fixed in {fixed}"


def _name(requirement: str) -> str:
    return requirement.partition(";")[0].strip().replace("==", " ")


def _last_line(answer: Answer) -> str:
    lines = answer.err.strip().splitlines()
    return f"pip-audit ended with {answer.exit_code}: {shorten(lines[-1], 150) if lines else 'no message'}"


def tell(results: Sequence[Result]) -> int:
    """Print what was found and what could not be checked. Return the exit code: 1 for a finding."""
    checked = [each for each in results if isinstance(each, Checked)]
    unknown = [each for each in results if isinstance(each, NotChecked)]
    findings = [line for each in checked for line in each.findings]
    for line in findings:
        print(line)
    for each in unknown:
        print(f"not checked: {each.package}: {each.why}")
    print(f"vulnerabilities: {len(findings)} found; {len(checked)} packages checked, {len(unknown)} not")
    return 1 if findings else 0


def main(arguments: Sequence[str]) -> int:
    """Run `FILE... -- COMMAND...`; the command is that of pip-audit."""
    split = list(arguments).index("--")
    files, command = arguments[:split], arguments[split + 1 :]

    def ask(requirements: Sequence[str], *more: str) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "requirements.txt"
            file.write_text("\n".join(requirements))
            run = subprocess.run(
                [*command, *_OPTIONS, *more, "--requirement", str(file)],
                capture_output=True,
                text=True,
                check=False,
            )
        return Answer(run.returncode, run.stdout, run.stderr)

    requirements = pinned(Path(file).read_text() for file in files)
    # Without the service: a wrong file or option fails here, so a later failure is the service's.
    dry = ask(requirements, "--dry-run")
    if dry.exit_code:
        print(dry.err, file=sys.stderr)
        return dry.exit_code
    return tell(list(audit(requirements, ask)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
