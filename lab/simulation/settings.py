"""The settings of the jobs queue and its consumer in template.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Settings:
    """How jobs are delivered to report, and how often.

    visibility, lease: seconds. maximum_concurrency: of the event source mapping; None for no limit.

    Raises ValueError for settings under which one request could be served by two runs, or never.
    """

    visibility: float
    max_receives: int
    lease: float
    maximum_concurrency: int | None

    def __post_init__(self) -> None:
        if self.lease >= self.visibility:
            raise ValueError(f"a lease of {self.lease:g} s outlives a visibility of {self.visibility:g} s")

    @classmethod
    def from_template(cls, template: Mapping[str, Any]) -> Self:
        """Read a template as local.stack.load_template returns it. Raises ValueError for batches."""
        resources = {name: each["Properties"] for name, each in template["Resources"].items()}
        queue, mapping = resources["JobsQueue"], resources["ReportJobs"]
        if _number(template, mapping["BatchSize"]) != 1:
            raise ValueError("a run serves one job here, but BatchSize is not 1")
        limit = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        return cls(
            visibility=_number(template, queue["VisibilityTimeout"]),
            max_receives=_number(template, queue["RedrivePolicy"]["maxReceiveCount"]),
            lease=_number(template, resources["ReportFunction"]["Environment"]["Variables"]["LEASE_SECONDS"]),
            maximum_concurrency=None if limit is None else _number(template, limit),
        )


def _number(template: Mapping[str, Any], value: Any) -> int:
    if isinstance(value, dict):  # a reference to a parameter
        value = template["Parameters"][value["Ref"]]["Default"]
    return int(value)
