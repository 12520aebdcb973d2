"""The checks of what runs: the functions, what invokes them, and what they are permitted."""

import importlib.metadata
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ops.activate import PREFIX as INBOUND
from ops.activate import IntakeRoute, allowed
from ops.policies import Caller, admits
from ops.site import CheckResult, Health, Site
from quarantine.acting.ways import WayBack
from quarantine.holding.contract import PREFIX as HELD
from quarantine.stores.items import iso_seconds

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.literals import StatisticType
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

_FUNCTIONS = ("intake", "report", "hold", "feedback", "digest")
_LATE = timedelta(minutes=30)  # of DigestsLateAlarm
_LOOKED_BACK = timedelta(hours=1)
_LATE = timedelta(minutes=10)  # the threshold of IntakeLateAlarm
_EVENTS = "s3:ObjectCreated:*"


def version(site: Site) -> CheckResult:
    """Compare three versions: the stack's, that of the layer its functions run, and this command's."""
    stack, command = site.operator.name("Version"), _own_version()
    layers = [
        each["PhysicalResourceId"]
        for each in site.resources
        if each["ResourceType"] == "AWS::Lambda::LayerVersion"
    ]
    client: LambdaClient = site.operator.client("lambda")
    for function in _names(site):
        used = [
            each["Arn"] for each in client.get_function_configuration(FunctionName=function).get("Layers", [])
        ]
        if used != layers:
            seen = f"{function} runs {', '.join(used) or 'no layer'}, and the stack has {', '.join(layers)}"
            step = f"aws lambda update-function-configuration --function-name {function} --layers"
            return CheckResult(Health.FAULT, seen, f"{step} {' '.join(layers)}")
    if stack != command:
        seen = f"the stack has version {stack}, this command {command}"
        step = f"uv tool install '.[ops]' in a clone of version {stack}, or deploy version {command}"
        return CheckResult(Health.WARNING, seen, step)
    return CheckResult(Health.OK, f"the stack and this command have version {stack}")


@cache
def _own_version() -> str:
    return importlib.metadata.version("quarantine-report")


def ses_may(site: Site) -> CheckResult:
    """Check the policies of the bucket and of intake for the rule by which SES calls them."""
    intake, active = IntakeRoute.of(site.operator), site.active_name
    place = intake.place_of_rule(site.active.get("Rules", []))
    name = "" if place is None else site.active["Rules"][place]["Name"]
    if active is None or not name or not allowed(site.operator, active, name):
        seen = "no active rule is one that the stack admits"
        return CheckResult(Health.UNKNOWN, seen, "see rule set and receipt rule")
    pattern = site.operator.name("ReceiptRuleArn")
    prefix = pattern.partition(":receipt-rule-set/")[0]
    account = prefix.split(":")[4]
    rule = f"{prefix}:receipt-rule-set/{active}:receipt-rule/{name}"
    caller = Caller("ses.amazonaws.com", account, rule)
    if not admits(_intake_policy(site, intake.function), caller, "lambda:InvokeFunction", intake.function):
        step = (
            f"aws lambda add-permission --function-name {intake.function} --statement-id ses"
            f" --action lambda:InvokeFunction --principal ses.amazonaws.com --source-account {account}"
            f" --source-arn {shlex.quote(pattern)}"
        )
        return CheckResult(Health.FAULT, f"SES may not invoke intake for {rule}", step)
    policy = _bucket_policy(site, intake.bucket)
    partition = prefix.split(":")[1]
    objects = f"arn:{partition}:s3:::{intake.bucket}/{INBOUND}"
    if not admits(policy, caller, "s3:PutObject", f"{objects}x"):
        statement = {
            "Sid": "SesStoresRequests",
            "Effect": "Allow",
            "Principal": {"Service": "ses.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"{objects}*",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": pattern},
            },
        }
        step = f"aws s3api put-bucket-policy --bucket {intake.bucket} --policy {_with(policy, statement)}"
        return CheckResult(Health.FAULT, f"SES may not store mail in {intake.bucket}", step)
    return CheckResult(Health.OK, "SES may store mail and invoke intake")


def _intake_policy(site: Site, function: str) -> Mapping[str, Any]:
    client: LambdaClient = site.operator.client("lambda")
    try:
        policy: Mapping[str, Any] = json.loads(client.get_policy(FunctionName=function)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return {}
    return policy


def _bucket_policy(site: Site, bucket: str) -> Mapping[str, Any]:
    client: S3Client = site.operator.client("s3")
    try:
        policy: Mapping[str, Any] = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as e:
        if e.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return {}
    return policy


def _with(policy: Mapping[str, Any], statement: Mapping[str, Any]) -> str:
    """Return a policy with one more statement, or with another one in its place, for a shell."""
    others = [each for each in policy.get("Statement", []) if each.get("Sid") != statement["Sid"]]
    return shlex.quote(json.dumps({"Version": "2012-10-17", "Statement": [*others, statement]}))


def notification(site: Site) -> CheckResult:
    """Check that the bucket tells hold's queue of each held mail, and that the queue takes it from S3."""
    bucket, url = site.operator.name("MailBucketName"), site.operator.name("HeldQueueUrl")
    attributes = _attributes(site, url)
    queue = attributes["QueueArn"]
    s3: S3Client = site.operator.client("s3")
    found: dict[str, Any] = {**s3.get_bucket_notification_configuration(Bucket=bucket)}
    found.pop("ResponseMetadata", None)
    told = found.get("QueueConfigurations", [])
    if not any(each["QueueArn"] == queue and _covers_held_mail(each) for each in told):
        ours = {
            "QueueArn": queue,
            "Events": [_EVENTS],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": HELD}]}},
        }
        others = [each for each in told if each["QueueArn"] != queue]
        text = shlex.quote(json.dumps(found | {"QueueConfigurations": [*others, ours]}))
        step = "aws s3api put-bucket-notification-configuration --bucket"
        return CheckResult(
            Health.FAULT,
            f"{bucket} does not tell hold of held mail, so it gets no rows",
            f"{step} {bucket} --notification-configuration {text}",
        )
    account = queue.split(":")[4]
    policy = json.loads(attributes.get("Policy") or "{}")
    caller = Caller("s3.amazonaws.com", account, f"arn:{queue.split(':')[1]}:s3:::{bucket}")
    if not admits(policy, caller, "sqs:SendMessage", queue):
        statement = {
            "Sid": "S3TellsOfObjects",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }
        new = shlex.quote(json.dumps({"Policy": shlex.split(_with(policy, statement))[0]}))
        step = f"aws sqs set-queue-attributes --queue-url {url} --attributes {new}"
        return CheckResult(Health.FAULT, "S3 may not tell hold's queue of held mail", step)
    return CheckResult(Health.OK, f"{bucket} tells hold of held mail")


def _covers_held_mail(told: Mapping[str, Any]) -> bool:
    rules = told.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return _EVENTS in told["Events"] and all(
        each["Name"].lower() == "prefix" and HELD.startswith(each["Value"]) for each in rules
    )


def _attributes(site: Site, url: str) -> Mapping[str, str]:
    sqs: SQSClient = site.operator.client("sqs")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "Policy"])
    return {name: str(value) for name, value in found["Attributes"].items()}


def sent_mail(site: Site) -> CheckResult:
    """Check each step by which SES's events about our mail come to feedback's queue."""
    url = site.operator.name("FeedbackQueueUrl")
    attributes = _attributes(site, url)
    queue = attributes["QueueArn"]
    prefix = queue.replace(":sqs:", ":events:").rpartition(":")[0]
    if fault := _unpublished(site, f"{prefix}:event-bus/default") or _unruled(site, queue):
        seen, step = fault
        return CheckResult(Health.FAULT, f"{seen}, so nobody learns what became of a mail", step)
    rule = f"{prefix}:rule/{site.operator.name('SendingEventsRuleName')}"
    policy = json.loads(attributes.get("Policy") or "{}")
    caller = Caller("events.amazonaws.com", queue.split(":")[4], rule)
    if not admits(policy, caller, "sqs:SendMessage", queue):
        statement = {
            "Sid": "EventBridgeTellsOfSentMail",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        new = shlex.quote(json.dumps({"Policy": shlex.split(_with(policy, statement))[0]}))
        step = f"aws sqs set-queue-attributes --queue-url {url} --attributes {new}"
        return CheckResult(Health.FAULT, "EventBridge may not tell feedback's queue of sent mail", step)
    return CheckResult(Health.OK, "SES tells feedback what became of each mail")


def _unpublished(site: Site, bus: str) -> tuple[str, str] | None:
    """Return what is seen and what to do if SES does not publish the events of our mail to a bus."""
    sesv2: SESV2Client = site.operator.client("sesv2")
    name = site.operator.name("ConfigurationSetName")
    try:
        found = sesv2.get_configuration_set_event_destinations(ConfigurationSetName=name)["EventDestinations"]
    except sesv2.exceptions.NotFoundException:
        return f"there is no configuration set {name}", drift(site)
    for each in found:
        to = each.get("EventBridgeDestination", {}).get("EventBusArn")
        if each.get("Enabled") and to == bus and set(each["MatchingEventTypes"]) >= _TYPES:
            return None
    destination = {
        "Enabled": True,
        "MatchingEventTypes": sorted(_TYPES),
        "EventBridgeDestination": {"EventBusArn": bus},
    }
    step = (
        f"aws sesv2 create-configuration-set-event-destination --configuration-set-name {name}"
        f" --event-destination-name feedback --event-destination {shlex.quote(json.dumps(destination))}"
    )
    return "SES does not tell EventBridge of each event", step


_TYPES = frozenset({"BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "REJECT"})


def _unruled(site: Site, queue: str) -> tuple[str, str] | None:
    """Return what is seen and what to do if no rule of EventBridge brings the events to a queue."""
    rule = site.operator.name("SendingEventsRuleName")
    events = site.operator.client("events")
    try:
        state = events.describe_rule(Name=rule)["State"]
        targets = events.list_targets_by_rule(Rule=rule)["Targets"]
    except events.exceptions.ResourceNotFoundException:
        return f"there is no rule {rule}", drift(site)
    if state == "DISABLED":
        return f"the rule {rule} is disabled", f"aws events enable-rule --name {rule}"
    if queue not in (target["Arn"] for target in targets):
        step = f"aws events put-targets --rule {rule} --targets Id=feedback,Arn={queue}"
        return f"the rule {rule} does not tell feedback's queue", step
    return None


def drift(site: Site) -> str:
    """A deployment does not create again what was deleted by hand: it sees no change."""
    return (
        f"aws cloudformation detect-stack-drift --stack-name {site.operator.stack_name}, then create again"
        " what is missing, as template.yaml says"
    )


def sources(site: Site) -> CheckResult:
    """Check that Lambda takes jobs for report, notifications for hold, and SES's events for feedback."""
    client: LambdaClient = site.operator.client("lambda")
    for name, output in (
        ("Report", "JobsQueueUrl"),
        ("Hold", "HeldQueueUrl"),
        ("Feedback", "FeedbackQueueUrl"),
    ):
        function = site.operator.name(f"{name}FunctionName")
        queue = _attributes(site, site.operator.name(output))["QueueArn"]
        mappings = client.list_event_source_mappings(EventSourceArn=queue, FunctionName=function)[
            "EventSourceMappings"
        ]
        if not mappings:
            step = (
                f"aws lambda create-event-source-mapping --function-name {function}"
                f" --event-source-arn {queue} --batch-size 1"
                " --function-response-types ReportBatchItemFailures"
            )
            return CheckResult(Health.FAULT, f"nothing takes from the queue of {function}", step)
        for mapping in mappings:
            state = mapping["State"]
            if state in ("Disabled", "Disabling"):
                step = f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled"
                seen = f"the event source mapping of {function} is {state}, so its queue only grows"
                return CheckResult(Health.FAULT, seen, step)
    return CheckResult(Health.OK, "report, hold and feedback take from their queues")


def concurrency(site: Site) -> CheckResult:
    client: LambdaClient = site.operator.client("lambda")
    for function in _names(site):
        reserved = client.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")
        if reserved == 0:
            step = f"aws lambda delete-function-concurrency --function-name {function}"
            return CheckResult(
                Health.FAULT, f"{function} is switched off: it may run zero times at once", step
            )
    return CheckResult(Health.OK, "each function may run")


_PERIOD = 300  # seconds, of SQS's own metrics


def throttles(site: Site) -> CheckResult:
    counts = {function: _metric(site, function, "Throttles", "Sum") for function in _names(site)}
    if seen := ", ".join(f"{count:.0f} of {function}" for function, count in counts.items() if count):
        step = "aws lambda get-account-settings; raise the account's concurrency, or IntakeConcurrency"
        return CheckResult(Health.WARNING, f"throttled within the last hour: {seen}", step)
    return CheckResult(Health.OK, "Lambda had room for each run of the last hour")


def waiting(site: Site) -> CheckResult:
    function = site.operator.name("IntakeFunctionName")
    age = timedelta(milliseconds=_metric(site, function, "AsyncEventAge", "Maximum"))
    seen = f"a mail waited for {age.total_seconds():.0f} s, at most, until intake looked at it"
    if age > _LATE:
        step = (
            f"aws logs tail {site.operator.name('IntakeLogGroup')} --since 1h; see concurrency and throttles"
        )
        return CheckResult(Health.WARNING, seen, step)
    return CheckResult(Health.OK, seen if age else "no mail waits for intake")


def schedule(site: Site) -> CheckResult:
    """Check that EventBridge Scheduler invokes digest, and that a run of it came to its end lately."""
    operator = site.operator
    scheduler, name = operator.client("scheduler"), operator.name("DigestScheduleName")
    try:
        found = scheduler.get_schedule(Name=name)
    except scheduler.exceptions.ResourceNotFoundException:
        return CheckResult(Health.FAULT, f"there is no schedule {name}", drift(site))
    if found["State"] != "ENABLED":
        seen = f"the schedule {name} is {found['State'].lower()}, so no report comes by itself"
        return CheckResult(Health.FAULT, seen, drift(site))
    if found["Target"]["Arn"] != operator.name("DigestFunctionArn"):
        return CheckResult(
            Health.FAULT, f"the schedule {name} invokes {found['Target']['Arn']}, not digest", drift(site)
        )
    cloudwatch: CloudWatchClient = operator.client("cloudwatch")
    now = operator.clock()
    points: Sequence[Mapping[str, Any]] = cloudwatch.get_metric_statistics(
        Namespace="QuarantineReport",
        MetricName="DigestsLate",
        Dimensions=[
            {"Name": "stack", "Value": operator.stack_name},
            {"Name": "service", "Value": "digest"},
        ],
        StartTime=now - _LOOKED_BACK,
        EndTime=now,
        Period=_PERIOD,
        Statistics=["Maximum"],
    )["Datapoints"]
    if not points:
        step = f"aws logs tail {operator.name('DigestLogGroup')} --since 1h"
        return CheckResult(Health.FAULT, "no run of digest came to its end within the last hour", step)
    last = max(points, key=lambda point: point["Timestamp"])
    if last["Maximum"] > _LATE.total_seconds():
        minutes = int(last["Maximum"] // 60)
        seen = f"a scheduled report was {minutes} minutes late at {iso_seconds(last['Timestamp'])}"
        return CheckResult(Health.WARNING, seen, "see docs/operating.md, Why did Bob get no digest?")
    return CheckResult(Health.OK, f"digest last looked at {iso_seconds(last['Timestamp'])}, or later")


def agents(site: Site) -> CheckResult:
    """Check when an agent last asked for a message: SQS counts each time, also those without one."""
    if (way := site.operator.parameter("ReleaseBy")) != WayBack.AGENT:
        return CheckResult(Health.OK, f"none is needed: ReleaseBy is {way or WayBack.ATTACHMENT}")
    queue = site.operator.name("ReleasesQueueUrl").rpartition("/")[2]
    client: CloudWatchClient = site.operator.client("cloudwatch")
    now = site.operator.clock()
    asked = [
        point["Timestamp"]
        for metric in ("NumberOfEmptyReceives", "NumberOfMessagesReceived")
        for point in client.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName=metric,
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - _LOOKED_BACK,
            EndTime=now,
            Period=_PERIOD,
            Statistics=["Sum"],
        )["Datapoints"]
        if point["Sum"]
    ]
    if not asked:
        step = "systemctl status quarantine-deliver, or quarantine deliver --to TARGET --domain DOMAIN"
        return CheckResult(Health.FAULT, "no agent has asked for a message within the last hour", step)
    return CheckResult(Health.OK, f"an agent last asked for a message at {iso_seconds(max(asked))}, or later")


def _metric(site: Site, function: str, name: str, statistic: "StatisticType") -> float:
    """Return the largest value of a metric of Lambda's within the last hour; 0 if there is none."""
    cloudwatch: CloudWatchClient = site.operator.client("cloudwatch")
    now = site.operator.clock()
    points: Sequence[Mapping[str, Any]] = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=name,
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=now - _LOOKED_BACK,
        EndTime=now,
        Period=int(_LOOKED_BACK.total_seconds()),
        Statistics=[statistic],
    )["Datapoints"]
    return max((point[statistic] for point in points), default=0.0)


def _names(site: Site) -> Iterator[str]:
    return (site.operator.name(f"{function.title()}FunctionName") for function in _FUNCTIONS)
