"""Only declared components run and ship: workflows, their actions, the bill of materials, the audit."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.audit import Answer, NotChecked, audit, main, pinned, tell

PROJECT = Path(__file__).parents[2]
WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))
RULES = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))

workflows = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def jobs(workflow: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(workflow.read_text())["jobs"])


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(workflow).values() for step in job["steps"]]


@workflows
def test_a_workflow_runs_targets_of_the_makefile_and_nothing_else(workflow: Path) -> None:
    assert {step["run"] for step in steps(workflow) if "run" in step} == {'make "$TARGET"'}
    for job in jobs(workflow).values():
        assert set(job["strategy"]["matrix"]["target"]) <= RULES


@workflows
def test_an_action_is_pinned_to_a_commit_whose_version_is_told(workflow: Path) -> None:
    uses = re.findall(r"\buses:\s*(.*)", workflow.read_text())
    assert len(uses) == sum("uses" in step for step in steps(workflow))
    assert not [each for each in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)]


def test_an_action_has_one_version() -> None:
    uses = {step["uses"] for workflow in WORKFLOWS for step in steps(workflow) if "uses" in step}
    assert len(uses) == len({each.partition("@")[0] for each in uses})


@workflows
def test_a_job_may_read_the_code_and_nothing_else(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}
    for job in jobs(workflow).values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"]
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_folder_with_versions_gets_updates_after_a_cooldown() -> None:
    updates = yaml.safe_load((PROJECT / ".github/dependabot.yml").read_text())["updates"]
    assert {(each["package-ecosystem"], each["directory"]) for each in updates} == {
        ("uv", "/"),
        ("github-actions", "/"),
        ("npm", "/tests/rendering"),
    }
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)


@pytest.mark.skipif("SBOM" not in os.environ, reason="`make audit` writes it")
def test_the_bill_of_materials_is_what_the_layer_ships() -> None:
    bill = json.loads((PROJECT / os.environ["SBOM"]).read_text())
    lines = (PROJECT / "layers/quarantine/requirements.txt").read_text().splitlines()
    assert bill["bomFormat"] == "CycloneDX"
    assert sorted(lines) == sorted(f"{each['name']}=={each['version']}" for each in bill["components"])


# As pip-audit 2.10.1 writes it: a finding, a clean package, and one that the service does not know.
REPORT = {
    "dependencies": [
        {
            "name": "jinja2",
            "version": "3.1.2",
            "vulns": [
                {
                    "id": "GHSA-h5c8-rqwp-cp95",
                    "fix_versions": ["3.1.3"],
                    "aliases": ["CVE-2024-22195"],
                    "description": "xmlattr",
                }
            ],
        },
        {"name": "idna", "version": "3.18", "vulns": []},
        {
            "name": "boto3",
            "skip_reason": "Dependency not found on PyPI and could not be audited: boto3 (1.43.108)",
        },
    ],
    "fixes": [],
}
ALL = ["boto3==1.43.108", "idna==3.18", "jinja2==3.1.2"]
FINDING = "finding: jinja2 3.1.2: GHSA-h5c8-rqwp-cp95, CVE-2024-22195, fixed in 3.1.3"
UNKNOWN = "not checked: boto3: Dependency not found on PyPI and could not be audited: boto3 (1.43.108)"


def service(
    *broken: str, report: dict[str, Any] = REPORT, ran: list[list[str]] | None = None
) -> Callable[[Sequence[str]], Answer]:
    """Return a pip-audit that writes no report if it is asked about one of the broken packages."""

    def ask(requirements: Sequence[str]) -> Answer:
        if ran is not None:
            ran.append([*requirements])
        names = {line.partition("==")[0] for line in requirements}
        if names & {*broken}:
            return Answer(1, "", "Traceback ...\nReadTimeout: no answer\n")
        found = [each for each in report["dependencies"] if each["name"] in names]
        code = 1 if any(each.get("vulns") for each in found) else 0
        return Answer(code, json.dumps({"dependencies": found, "fixes": []}), "")

    return ask


@pytest.mark.parametrize(
    ("requirements", "broken", "code", "said"),
    [
        pytest.param(
            ["idna==3.18"], [], 0, ["vulnerabilities: 0 found; 1 packages checked, 0 not"], id="clean"
        ),
        pytest.param(
            ["idna==3.18", "jinja2==3.1.2"],
            [],
            1,
            [FINDING, "vulnerabilities: 1 found; 2 packages checked, 0 not"],
            id="a finding",
        ),
        pytest.param(
            ["boto3==1.43.108", "idna==3.18"],
            [],
            0,
            [UNKNOWN, "vulnerabilities: 0 found; 1 packages checked, 1 not"],
            id="a package that the service does not know",
        ),
        pytest.param(
            ALL,
            ["idna"],
            1,
            [
                FINDING,
                UNKNOWN,
                "not checked: idna 3.18: pip-audit ended with 1: ReadTimeout: no answer",
                "vulnerabilities: 1 found; 1 packages checked, 2 not",
            ],
            id="no answer about one hides no finding of another",
        ),
    ],
)
def test_the_audit_fails_on_a_finding_and_names_what_it_could_not_check(
    requirements: list[str], broken: list[str], code: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = list(audit(requirements, service(*broken)))
    assert tell(results) == code
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(said)


def test_an_audit_without_a_service_gives_up_and_names_every_package() -> None:
    requirements = [f"package{number}==1.0 ; python_version > '3'" for number in range(100)]
    ran: list[list[str]] = []
    results = list(audit(requirements, service(*(f"package{number}" for number in range(100)), ran=ran)))
    assert sorted(each.package for each in results) == sorted(f"package{number} 1.0" for number in range(100))
    assert all(isinstance(each, NotChecked) for each in results)
    assert len(ran) < 30


def test_a_report_of_another_form_is_not_taken_for_a_clean_one() -> None:
    with pytest.raises(ValueError, match="another form"):
        list(audit(["idna==3.18"], lambda _: Answer(0, '{"dependencies": [{"name": "idna"}]}', "")))


def test_what_is_audited_is_each_requirement_once() -> None:
    exported = "# made by uv\nidna==3.18 ; python_version > '3'\n    # via requests\nboto3==1.0\n"
    assert pinned([exported, "boto3==1.0\n"]) == ["boto3==1.0", "idna==3.18 ; python_version > '3'"]


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        pytest.param("import sys; sys.exit('no such option')", 1, "no such option", id="a wrong call"),
        pytest.param(
            "import sys; sys.exit(0 if '--dry-run' in sys.argv else 'PyPI does not answer')",
            0,
            "not checked: idna 3.18: pip-audit ended with 1: PyPI does not answer",
            id="no service",
        ),
    ],
)
def test_a_wrong_call_of_pip_audit_is_not_taken_for_an_outage(
    script: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("idna==3.18\n")
    assert main([str(lock), "--", sys.executable, "-c", script]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
