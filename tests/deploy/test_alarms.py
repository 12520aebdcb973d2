"""The alarms and the dashboard watch each place where work can wait or fail, and metrics that there are."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from ops.operator import Operator, Output
from quarantine.asking.admission import Refusal
from tests.deploy.template import (
    FAILURES,
    FUNCTIONS,
    PSEUDO,
    Json,
    deployed,
    of_type,
    properties,
    sources,
)
from tests.feedback.test_event import sending
from tests.functions.actions import SPAM, address, ask, asking, stored
from tests.functions.faults import Wire
from tests.functions.test_feedback import release, released
from tests.ops.conftest import Terminal
from tests.world import World, load_event

ALARMS = of_type("AWS::CloudWatch::Alarm")
WIDGETS = json.loads(properties("Dashboard")["DashboardBody"])["widgets"]
TOPIC = "arn:aws:sns:eu-west-1:111122223333:oncall"
WITH_TOPIC = deployed(AlarmTopicArn=TOPIC)


def watched(alarm: Json) -> list[tuple[str, str, dict[str, str]]]:
    """The metrics of an alarm: namespace, name, dimensions."""
    found = [it["MetricStat"]["Metric"] for it in alarm.get("Metrics", []) if "MetricStat" in it] or [alarm]
    return [
        (it["Namespace"], it["MetricName"], {each["Name"]: each["Value"] for each in it["Dimensions"]})
        for it in found
    ]


def alarm_on(namespace: str, metric: str, dimension: str, value: str) -> Json:
    """The properties of the one alarm on a metric of AWS."""
    (found,) = (
        properties(name)
        for name in ALARMS
        if watched(properties(name)) == [(namespace, metric, {dimension: value})]
    )
    return found


def is_of_aws(alarm: str) -> bool:
    return all(namespace.startswith("AWS/") for namespace, _, _ in watched(properties(alarm)))


def shown() -> list[tuple[str, str, str, str]]:
    """What the dashboard shows of AWS's own metrics: namespace, metric, dimension, value."""
    return [
        tuple(metric[:4])
        for widget in WIDGETS
        for metric in widget["properties"]["metrics"]
        if isinstance(metric[0], str)
    ]


# Where work waits


@pytest.mark.parametrize("queue", sorted(FAILURES))
def test_one_message_among_the_failures_rings_and_is_shown(queue: str) -> None:
    place = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", f"${{{queue}.QueueName}}")
    found = alarm_on(*place)
    assert (found["ComparisonOperator"], found["Threshold"]) == ("GreaterThanThreshold", 0)
    assert (found["Statistic"], found["EvaluationPeriods"]) == ("Maximum", 1)
    assert place in shown()


@pytest.mark.parametrize("queue", sorted(FAILURES))
def test_a_second_message_among_the_failures_rings_again(queue: str) -> None:
    """An alarm on the messages that wait rings once, until the last of them is gone."""
    asynchronous = {
        it["DestinationConfig"]["OnFailure"]["Destination"]: ("FunctionName", it["FunctionName"])
        for it in map(properties, of_type("AWS::Lambda::EventInvokeConfig"))
    }
    if function := asynchronous.get(f"${{{queue}.Arn}}"):
        found = alarm_on("AWS/Lambda", "AsyncEventsDropped", *function)
    else:
        (source,) = (
            it
            for it in sources()
            if properties(it)["RedrivePolicy"]["deadLetterTargetArn"] == f"${{{queue}.Arn}}"
        )
        service = properties(sources()[source])["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        dimensions = {"stack": PSEUDO["AWS::StackName"], "service": service}
        (found,) = (
            properties(name)
            for name in ALARMS
            if watched(properties(name)) == [("QuarantineReport", "DeadLetters", dimensions)]
        )
    assert (found["Statistic"], found["EvaluationPeriods"], found["Threshold"]) == ("Sum", 1, 0)
    assert found["ComparisonOperator"] == "GreaterThanThreshold"


@pytest.mark.parametrize("queue", sources())
def test_work_that_waits_too_long_rings_and_is_shown(queue: str) -> None:
    place = ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", f"${{{queue}.QueueName}}")
    found = alarm_on(*place)
    assert found["ComparisonOperator"] == "GreaterThanThreshold"
    assert properties(queue)["VisibilityTimeout"] < found["Threshold"]  # what failed once is not late
    assert place in shown()


@pytest.mark.parametrize("config", of_type("AWS::Lambda::EventInvokeConfig"))
def test_an_event_that_lambda_keeps_back_rings_before_it_is_given_up(config: str) -> None:
    function = ("FunctionName", properties(config)["FunctionName"])
    assert alarm_on("AWS/Lambda", "Throttles", *function)["Threshold"] == 0
    late = alarm_on("AWS/Lambda", "AsyncEventAge", *function)["Threshold"]  # milliseconds
    assert 0 < late < 1000 * properties(config)["MaximumEventAgeInSeconds"]


def test_redrive_finds_what_waits_among_the_failures(world: World) -> None:
    resources = world.session.client("cloudformation").describe_stack_resources(StackName="quarantine")
    sqs = world.session.client("sqs")
    for resource in resources["StackResources"]:
        if resource["LogicalResourceId"] in FAILURES:
            sqs.send_message(QueueUrl=resource["PhysicalResourceId"], MessageBody="{}")
    terminal = Terminal(Operator(world.session, "quarantine", clock=world.clock, queue_wait=0))
    terminal("redrive", "--dry-run", output=Output.JSON)
    assert len({row["queue"] for row in json.loads(terminal.said)}) == len(FAILURES)


# What the functions count

type Count = tuple[str, str, str, str | None]
"""Of a metric of the functions: its namespace and name, the service, and the outcome if it has one."""


@pytest.fixture
def counts(world: World, capsys: pytest.CaptureFixture[str]) -> set[Count]:
    """What they count of a refused request, a rejected report, held mail, a digest and a failed release."""
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_held("bob@example.com", "<1@x.example>", world.clock.now, "x@x.example", "Invoice 7")
    assert world.intake(load_event("refused_unauthenticated")) == {"outcome": Refusal.UNAUTHENTICATED}
    assert world.intake(load_event("accepted_relay_ipv4")) == {"outcome": "accepted"}
    wire = Wire()
    rejected = ClientError({"Error": {"Code": "MessageRejected", "Message": "no"}}, "SendEmail")
    wire.fail("sesv2", "SendEmail", rejected)
    world.report(*world.jobs(), session=wire.session)
    bucket = world.stack.environ["MAIL_BUCKET"]
    world.session.client("s3").put_object(Bucket=bucket, Key="held/1", Body=b"\n")
    world.hold(*world.held_messages())
    stored(world)
    world.clock.move(minutes=10)
    event = asking(world, address(world, "delete"), message_id="action")
    assert world.intake(event) == {"outcome": "accepted"}
    wire = Wire()
    wire.fail("sesv2", "SendEmail", rejected)
    assert world.act(*world.actions(), session=wire.session) == []
    world.records.put_auth("example.com", administrators=["alice@example.com"])
    stored(world, mail=SPAM.replace(b"<1@", b"<2@"), key="held/2", reason="virus")
    assert world.act(*ask(world, address(world, "ask"), message_id="ask")) == []
    world.act("not a job", received=5)
    world.report("not a job", received=20)
    world.hold("not a notification")
    world.records.put_digest("bob@example.com", "07:00")
    stored(world, mail=SPAM.replace(b"<1@", b"<3@"), key="held/3")
    world.clock.move(days=1)
    world.digest()
    world.report(*world.jobs())
    release(world)
    world.feedback(released(sending("bounce_permanent")))
    world.feedback("not an event", received=5)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return {
        (each["Namespace"], metric["Name"], line["service"], line.get("outcome"))
        for line in lines
        for each in line["_aws"]["CloudWatchMetrics"]
        for metric in each["Metrics"]
        if set(*each["Dimensions"]) == {"stack", "service"} | ({"outcome"} & line.keys())
    }


@pytest.mark.parametrize("alarm", [name for name in ALARMS if not is_of_aws(name)])
def test_alarm_watches_what_a_function_counts(alarm: str, counts: set[Count]) -> None:
    for namespace, metric, dimensions in watched(properties(alarm)):
        assert {"stack", "service"} <= dimensions.keys() <= {"stack", "service", "outcome"}
        assert dimensions["stack"] == PSEUDO["AWS::StackName"]
        same = {count[3] for count in counts if count[:3] == (namespace, metric, dimensions["service"])}
        # A refusal is counted by its word, as the one that was made shows.
        assert dimensions.get("outcome") in (same | set(Refusal) if same & set(Refusal) else same)


@pytest.mark.parametrize("refusal", ["not_a_trigger", "infected", "unauthenticated"])
def test_any_refusal_counts_towards_a_flood(
    refusal: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.intake(load_event(f"refused_{refusal}")) == {"outcome": refusal}
    ((namespace, metric, dimensions),) = watched(properties("RefusedFloodAlarm"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if f'"{metric}"' in line]
    (counted,) = (line for line in lines if line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == namespace)
    assert set(*counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"]) == set(dimensions)
    assert {**dimensions, "stack": world.stack.environ["STACK_NAME"]}.items() <= counted.items()


def test_each_count_is_shown_by_outcome(counts: set[Count]) -> None:
    expressions = [
        metric[0]["expression"]
        for widget in WIDGETS
        for metric in widget["properties"]["metrics"]
        if isinstance(metric[0], dict) and "SEARCH" in metric[0]["expression"]
    ]
    search = re.compile(
        r"SEARCH\('\{(\w+),stack,service,outcome\} MetricName=\"(\w+)\""
        rf" stack=\"{PSEUDO['AWS::StackName']}\" service=\"(\w+)\"'"
    )
    found = {match.groups() for expression in expressions if (match := search.match(expression))}
    assert len(found) == len(expressions)
    assert found == {count[:3] for count in counts if count[3] is not None}


def test_powertools_is_told_what_the_functions_count_as(counts: set[Count]) -> None:
    names = ("POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME")
    variables = [properties(function)["Environment"]["Variables"] for function in FUNCTIONS]
    assert {tuple(each[name] for name in names) for each in variables} == {
        (namespace, service) for namespace, _, service, _ in counts
    }


# What SES counts


def test_ses_counts_what_the_alarms_and_the_dashboard_watch() -> None:
    looked_at = {(name, *dimension) for namespace, name, *dimension in shown() if namespace == "AWS/SES"} | {
        (name, *dimension)
        for alarm in ALARMS
        for namespace, name, dimensions in watched(properties(alarm))
        for dimension in dimensions.items()
        if namespace == "AWS/SES"
    }
    events = properties("ReportEvents")["EventDestination"]
    (by,) = events["CloudWatchDestination"]["DimensionConfigurations"]
    assert events["Enabled"]
    assert looked_at == {
        (name.title(), by["DimensionName"], by["DefaultDimensionValue"])
        for name in events["MatchingEventTypes"]
    }
    # The tag that SES itself puts on each mail, with the name of the set.
    assert (by["DimensionName"], by["DimensionValueSource"]) == ("ses:configuration-set", "messageTag")
    assert by["DefaultDimensionValue"] == properties("ReportConfigurationSet")["Name"]


# All


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_notifies_the_topic(alarm: str) -> None:
    assert WITH_TOPIC[alarm]["Properties"]["AlarmActions"] == [TOPIC]
    assert WITH_TOPIC[alarm]["Properties"]["OKActions"] == [TOPIC]


def test_what_the_dashboard_calculates_with_is_there() -> None:
    for widget in WIDGETS:
        names = [metric[-1] for metric in widget["properties"]["metrics"] if isinstance(metric[-1], dict)]
        for each in names:
            if "SEARCH" not in each.get("expression", "SEARCH"):
                used = set(re.findall(r"\b[a-z]\w*", each["expression"]))
                assert used <= {it["id"] for it in names if "id" in it} - {each["id"]}
