"""What is put on the queue of jobs, and how a mail is sent."""

import re
from email.message import EmailMessage

import boto3

from quarantine.feedback.tags import MailKind
from quarantine.jobs import ReportJob, from_json
from quarantine.mail.addresses import Address
from quarantine.outbox import Jobs, Mailer
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


def test_a_mail_is_tagged_with_its_request_and_its_kind(world: World) -> None:
    """Or nobody would know whose mail an event of SES is about."""
    asked: list[dict[str, object]] = []
    sesv2 = world.session.client("sesv2")
    sesv2.meta.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: asked.append(params)
    )
    sender = Address.parse(world.stack.environ["REPORT_SENDER"])
    mail = EmailMessage()
    mail["From"], mail["To"] = str(sender), "bob@example.com"
    Mailer(sesv2, "set").send(
        mail, sender=sender, to=Address.parse("bob@example.com"), request_id="r-1.2", kind=MailKind.REPORT
    )
    (params,) = asked
    assert params["ConfigurationSetName"] == "set"  # without it, SES reports nothing
    assert params["EmailTags"] == [
        {"Name": "request", "Value": "r-1_2E2"},
        {"Name": "mail", "Value": "report"},
    ]
