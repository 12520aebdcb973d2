"""Only declared components run and ship: workflows, their actions, the bill of materials."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

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
