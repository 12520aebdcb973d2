"""What is put on the queue of jobs."""

import re

import boto3

from quarantine.jobs import ReportJob, from_json
from quarantine.outbox import Jobs
from tests.world import World


def _groups(world: World, *domains: str) -> list[str]:
    sqs, url = world.session.client("sqs"), world.stack.environ["JOBS_QUEUE_URL"]
    put: list[str] = []
    sqs.meta.events.register(
        "provide-client-params.sqs.SendMessage", lambda params, **_: put.append(params["MessageGroupId"])
    )
    for domain in domains:
        Jobs(sqs, url, "https://actions.example").put(ReportJob("r-1"), group=domain)
    return put


def test_a_job_is_in_the_group_of_its_domain(world: World) -> None:
    one, same, other = _groups(world, "example.com", "example.com", "example.org")
    assert one == same != other


def test_a_group_names_nobody_and_is_as_long_as_sqs_takes(world: World) -> None:
    longest = ".".join(["d" * 63] * 3 + ["example"])  # SQS takes 128 characters
    for group in _groups(world, "example.com", longest):
        assert re.fullmatch(r"[0-9a-f]{32}", group)


def test_a_job_is_the_pointer_alone(world: World) -> None:
    session: boto3.Session = world.session
    Jobs(session.client("sqs"), world.stack.environ["JOBS_QUEUE_URL"], "-").put(ReportJob("r-1"), group="x")
    assert [from_json(job) for job in world.jobs()] == [ReportJob("r-1")]
