from copy import deepcopy
from typing import Any

import pytest

from lab.simulation.settings import Settings
from local.stack import load_template


@pytest.fixture
def template() -> dict[str, Any]:
    return deepcopy(load_template())


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def test_the_settings_are_those_of_the_template(template: dict[str, Any]) -> None:
    properties(template, "JobsQueue")["VisibilityTimeout"] = 240
    properties(template, "JobsQueue")["RedrivePolicy"]["maxReceiveCount"] = 7
    properties(template, "ReportFunction")["Environment"]["Variables"]["LEASE_SECONDS"] = "90"
    properties(template, "ReportJobs")["ScalingConfig"] = {"MaximumConcurrency": 12}
    expected = Settings(visibility=240, max_receives=7, lease=90, maximum_concurrency=12)
    assert Settings.from_template(template) == expected


def test_a_limit_may_be_a_parameter(template: dict[str, Any]) -> None:
    template["Parameters"]["Runs"] = {"Type": "Number", "Default": 4}
    properties(template, "ReportJobs")["ScalingConfig"] = {"MaximumConcurrency": {"Ref": "Runs"}}
    assert Settings.from_template(template).maximum_concurrency == 4


def test_no_limit(template: dict[str, Any]) -> None:
    properties(template, "ReportJobs").pop("ScalingConfig", None)
    assert Settings.from_template(template).maximum_concurrency is None


def test_a_batch_of_several_is_another_pipeline(template: dict[str, Any]) -> None:
    properties(template, "ReportJobs")["BatchSize"] = 10
    with pytest.raises(ValueError, match="BatchSize"):
        Settings.from_template(template)


def test_a_lease_ends_before_its_job_comes_again() -> None:
    with pytest.raises(ValueError, match="outlives"):
        Settings(visibility=60, max_receives=5, lease=60, maximum_concurrency=None)
