"""What template.yaml guarantees to the functions, to SES and to the operator.

A test compares what must agree: the template with the code, one resource with another. None repeats a value.
"""

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from ops.activate import PREFIX as INBOUND
from quarantine import held
from quarantine.acting.rules import USER_ACTIONS
from quarantine.feedback.event import parse_sending_event
from quarantine.held import HoldReason
from quarantine.holding.contract import PREFIX
from quarantine.holding.filters.family import Family
from quarantine.settings import (
    OTHER_LOCAL_PARTS,
    ActSettings,
    BadSetting,
    FeedbackSettings,
    HoldSettings,
    IntakeSettings,
    ReportSettings,
    policy_of,
)
from tests.deploy.template import (
    DEFAULTS,
    FAILURES,
    FUNCTIONS,
    GIVEN,
    PSEUDO,
    SES,
    STACK,
    TEMPLATE,
    Json,
    as_list,
    deployed,
    grants,
    holds,
    of_type,
    properties,
    resolve,
    sources,
    statements,
)
from tests.feedback.test_event import EVENTS as SENDING
from tests.feedback.test_event import sending
from tests.world import World, load_event

PROJECT = Path(__file__).parents[2]
X_RAY = "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess"
LONGEST_RETENTION = 14 * 24 * 60 * 60  # seconds that SQS can keep a message


# Data


@pytest.mark.parametrize("table", of_type("AWS::DynamoDB::Table"))
def test_table_is_encrypted_can_be_restored_and_costs_nothing_unused(table: str) -> None:
    assert properties(table)["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties(table)["SSESpecification"] == {"SSEEnabled": True}
    assert properties(table)["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("table", of_type("AWS::DynamoDB::Table"))
@pytest.mark.parametrize(
    ("parameters", "protected"),
    [
        pytest.param({}, True, id="by default"),
        pytest.param({"DeletionProtection": "false"}, False, id="before the stack is removed"),
    ],
)
def test_table_is_protected_from_deletion(table: str, parameters: dict[str, str], protected: bool) -> None:
    found = deployed(**parameters)[table]["Properties"]["DeletionProtectionEnabled"]
    assert found is protected


KEY = "arn:aws:kms:eu-west-1:111122223333:key/0123abcd"


def test_everything_that_is_kept_is_encrypted_with_the_key_that_is_given() -> None:
    stack = deployed(KmsKeyArn=KEY)
    for table in of_type("AWS::DynamoDB::Table"):
        specification = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
        assert stack[table]["Properties"]["SSESpecification"] == specification
    for queue in of_type("AWS::SQS::Queue"):
        assert stack[queue]["Properties"]["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in stack[queue]["Properties"]
    (rule,) = stack["MailBucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert rule == {"ServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_queue_is_encrypted_with_a_key_of_sqs_otherwise(queue: str) -> None:
    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in properties(queue)


@pytest.mark.parametrize("principal", [*(f"{name}Role" for name in FUNCTIONS), "HoldMailPolicy"])
def test_the_key_is_used_through_the_services_that_keep_data_alone(principal: str) -> None:
    assert not any(action.startswith("kms:") for action, _ in grants(STACK[principal]))
    (found,) = (it for it in statements(deployed(KmsKeyArn=KEY)[principal]) if it["Sid"] == "UseKey")
    assert (set(found["Action"]), found["Resource"]) == ({"kms:Decrypt", "kms:GenerateDataKey"}, KEY)
    services = {it.split(".")[0] for it in as_list(found["Condition"]["StringEquals"]["kms:ViaService"])}
    assert services == ({"s3"} if principal == "HoldMailPolicy" else {"dynamodb", "s3", "sqs"})


@pytest.mark.parametrize("table", of_type("AWS::DynamoDB::Table"))
def test_an_existing_table_takes_the_place_of_the_stacks_own(table: str) -> None:
    """What named the stack's table, by name or by ARN, names the other one; the stack makes none."""
    stack = deployed(**{f"Existing{table}": "restored"})
    assert table not in stack
    assert not re.search(rf"\$\{{{table}\b", json.dumps(stack))
    arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/restored"
    ours = [name for name in STACK if f"${{{table}.Arn}}" in json.dumps(STACK[name])]
    assert [name for name in stack if arn in json.dumps(stack[name])] == ours
    given = PSEUDO | DEFAULTS | GIVEN | {f"Existing{table}": "restored"}
    assert resolve(TEMPLATE["Outputs"][f"{table}Name"]["Value"], given) == "restored"


def test_rows_with_an_end_are_deleted_by_the_attribute_that_says_when(world: World) -> None:
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_auth("example.com", ["dkim"])
    world.records.put_held("bob@example.com", "<1@x.example>", world.clock.now, "x@x.example", "Invoice 7")
    assert world.intake(load_event("accepted_relay_ipv4")) == {"outcome": "accepted"}
    dynamodb = world.session.client("dynamodb")
    for table in of_type("AWS::DynamoDB::Table"):
        rows = dynamodb.scan(TableName=world.stack.environ[f"{table.removesuffix('Table').upper()}_TABLE"])
        says_when = properties(table).get("TimeToLiveSpecification", {}).get("AttributeName")
        assert {"expires_at" if "expires_at" in row else None for row in rows["Items"]} == {says_when}


def test_what_a_deleted_stack_leaves_a_replaced_resource_leaves_too() -> None:
    """Or an update would lose what a deletion keeps."""
    left = {name for name, it in STACK.items() if it.get("DeletionPolicy") == "Retain"}
    assert left == {name for name, it in STACK.items() if it.get("UpdateReplacePolicy") == "Retain"}


def test_a_deleted_stack_leaves_what_it_cannot_make_again() -> None:
    """The rows that no function writes, and held mail: the objects and their rows."""
    written = {
        target.removeprefix("${").partition(".")[0]
        for function in FUNCTIONS
        for action, target in grants(STACK[f"{function}Role"])
        if action in {"dynamodb:PutItem", "dynamodb:UpdateItem"}
    }
    held = {"MailBucket", "QuarantineTable"}
    for name in held | (set(of_type("AWS::DynamoDB::Table")) - written):
        assert STACK[name]["DeletionPolicy"] == "Retain", name


# The functions


class Variables(dict[str, str]):
    """An environment that records which of its variables are read."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        pytest.param("IntakeFunction", IntakeSettings, id="intake"),
        pytest.param("ReportFunction", ReportSettings, id="report"),
        pytest.param("ActFunction", ActSettings, id="act"),
        pytest.param("HoldFunction", HoldSettings, id="hold"),
        pytest.param("FeedbackFunction", FeedbackSettings, id="feedback"),
    ],
)
def test_function_is_given_the_settings_that_it_reads_and_no_others(function: str, settings: Json) -> None:
    given = Variables(properties(function)["Environment"]["Variables"])
    assert settings.from_environ(given)
    assert {name for name in given if not name.startswith("POWERTOOLS_")} == given.read


# Variables with tests of their own, because they are more than a parameter or the name of a resource.
COMPOSED = {
    *("CONFIGURATION_SET", "LEASE_SECONDS", "RETENTION_DAYS"),
    *("JOB_ATTEMPTS", "ACTION_ATTEMPTS", "HELD_ATTEMPTS", "FEEDBACK_ATTEMPTS"),
    *("STACK_NAME", "ACTION_LEASE_SECONDS", "RELEASES_QUEUE_URL", "RESULTS_QUEUE_ARN"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_setting_is_the_parameter_or_resource_of_its_name(function: str) -> None:
    variables = TEMPLATE["Resources"][function]["Properties"]["Environment"]["Variables"]
    named = {name: it for name, it in variables.items() if not name.startswith("POWERTOOLS_")}
    for name in named.keys() - COMPOSED:
        words = name.removesuffix("_URL").split("_")
        meant = {"Ref": "".join(word.title() for word in words)}
        assert resolve(named[name], DEFAULTS) == resolve(meant, DEFAULTS)


@pytest.mark.parametrize(
    ("setting", "queue", "function"),
    [
        pytest.param("JOB_ATTEMPTS", "JobsQueue", "ReportFunction", id="report"),
        pytest.param("ACTION_ATTEMPTS", "ActionsQueue", "ActFunction", id="act"),
        pytest.param("HELD_ATTEMPTS", "HeldQueue", "HoldFunction", id="hold"),
        pytest.param("FEEDBACK_ATTEMPTS", "FeedbackQueue", "FeedbackFunction", id="feedback"),
    ],
)
def test_function_knows_the_attempt_after_which_sqs_gives_up(setting: str, queue: str, function: str) -> None:
    attempts = properties(function)["Environment"]["Variables"][setting]
    assert int(attempts) == properties(queue)["RedrivePolicy"]["maxReceiveCount"]


def test_settings_need_only_what_the_local_run_makes() -> None:
    """The local run creates the tables, the queues and the bucket of this template, and nothing else."""
    made = {
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] in {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket"}
    }
    needed = {
        value[2:-1].partition(".")[0]
        for function in FUNCTIONS
        for value in properties(function)["Environment"]["Variables"].values()
        if value.startswith("${")
    }
    assert set() == needed - made


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_architecture_is_that_of_the_functions_and_of_the_layer_they_use(architecture: str) -> None:
    stack = deployed(Architecture=architecture)
    (layer,) = (name for name, it in stack.items() if it["Type"] == "AWS::Lambda::LayerVersion")
    assert [architecture] == stack[layer]["Properties"]["CompatibleArchitectures"]
    for function in FUNCTIONS:
        assert [architecture] == stack[function]["Properties"]["Architectures"]
        assert [f"${{{layer}}}"] == stack[function]["Properties"]["Layers"]
    built_for = TEMPLATE["Resources"]["QuarantineLayer"]["Metadata"]["BuildArchitecture"]
    assert architecture == resolve(built_for, {"Architecture": architecture})


@pytest.mark.parametrize(
    ("function", "queue"),
    [
        pytest.param("ReportFunction", "JobsQueue", id="report"),
        pytest.param("FeedbackFunction", "FeedbackQueue", id="feedback"),
    ],
)
def test_no_two_runs_hold_a_request_and_no_job_waits_for_a_dead_one(function: str, queue: str) -> None:
    timeout = properties(function)["Timeout"]
    lease = int(properties(function)["Environment"]["Variables"]["LEASE_SECONDS"])
    visibility = properties(queue)["VisibilityTimeout"]
    assert timeout < lease < visibility
    assert 6 * timeout <= visibility


@pytest.mark.parametrize(("queue", "function"), sources().items())
def test_nothing_comes_again_while_it_is_at_work(queue: str, function: str) -> None:
    """Six times the timeout: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    assert 6 * properties(function)["Timeout"] <= properties(queue)["VisibilityTimeout"]


@pytest.mark.parametrize("mapping", of_type("AWS::Lambda::EventSourceMapping"))
def test_one_message_of_a_batch_fails_alone(mapping: str) -> None:
    assert properties(mapping)["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(("queue", "function"), sources().items())
def test_function_may_take_from_its_queue(queue: str, function: str) -> None:
    taking = {f"sqs:{action}" for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}
    assert {(action, f"${{{queue}.Arn}}") for action in taking} <= grants(STACK[f"{function}Role"])


def test_each_queue_comes_to_its_function() -> None:
    queues = properties("IntakeFunction")["Environment"]["Variables"]
    (notified,) = properties("MailBucket")["NotificationConfiguration"]["QueueConfigurations"]
    (told,) = properties("SendingEventsRule")["Targets"]
    assert sources() == {
        queues["JOBS_QUEUE_URL"][2:-1]: "ReportFunction",
        queues["ACTIONS_QUEUE_URL"][2:-1]: "ActFunction",
        notified["Queue"].removeprefix("${").removesuffix(".Arn}"): "HoldFunction",
        told["Arn"].removeprefix("${").removesuffix(".Arn}"): "FeedbackFunction",
    }


@pytest.mark.parametrize("queue", sorted(FAILURES))
def test_failed_work_is_kept_as_long_as_sqs_can(queue: str) -> None:
    assert properties(queue)["MessageRetentionPeriod"] == LONGEST_RETENTION


def test_work_that_fails_has_a_queue_to_wait_in() -> None:
    """What a function takes from a queue has that queue's dead letters; what SES invokes, a destination."""
    invoked = {it["FunctionName"] for it in map(properties, of_type("AWS::Lambda::EventInvokeConfig"))}
    assert invoked == {it["FunctionName"] for it in map(properties, of_type("AWS::Lambda::Permission"))}
    assert len(FAILURES) == len(sources()) + len(invoked)


def test_held_mail_that_fails_and_held_mail_that_is_rejected_wait_together() -> None:
    letters = properties("HoldFunction")["Environment"]["Variables"]["HELD_DEAD_LETTERS_URL"]
    assert properties("HeldQueue")["RedrivePolicy"]["deadLetterTargetArn"] == f"{letters[:-1]}.Arn}}"


def test_raw_mail_is_there_as_long_as_a_failed_event_may_wait_for_it() -> None:
    rules = properties("MailBucket")["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if rule.get("Prefix") == INBOUND)
    assert timedelta(days=rule["ExpirationInDays"]).total_seconds() >= LONGEST_RETENTION


# Who may do what


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_writes_its_own_log_and_no_other(function: str) -> None:
    group = properties(function)["LoggingConfig"]["LogGroup"]
    writes = {(action, target) for action, target in grants(STACK[f"{function}Role"]) if "logs:" in action}
    assert {target for _, target in writes} == {f"{group[:-1]}.Arn}}"}
    assert {action for action, _ in writes} == {"logs:CreateLogStream", "logs:PutLogEvents"}


@pytest.mark.parametrize("role", of_type("AWS::IAM::Role"))
def test_every_role_stays_within_the_boundary_that_is_given(role: str) -> None:
    boundary = "arn:aws:iam::111122223333:policy/bounded"
    assert "PermissionsBoundary" not in properties(role)
    assert boundary == deployed(PermissionsBoundaryArn=boundary)[role]["Properties"]["PermissionsBoundary"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_statement_never_scans_a_table(function: str) -> None:
    """PartiQLSelect allows a statement without the key, too; only the denial tells them apart."""
    stated = {
        target for action, target in grants(STACK[f"{function}Role"]) if action == "dynamodb:PartiQLSelect"
    }
    denied = {
        it["Resource"]
        for it in statements(STACK[f"{function}Role"])
        if (it["Effect"], it["Action"]) == ("Deny", "dynamodb:PartiQLSelect")
        and it["Condition"] == {"Bool": {"dynamodb:FullTableScan": "true"}}
    }
    assert stated == denied


def test_nothing_may_do_anything_or_to_everything() -> None:
    assert [
        (name, action, target)
        for name, resource in STACK.items()
        for action, target in grants(resource)
        if "*" in action or target == "*"
    ] == []


def test_reports_come_from_the_report_sender_alone() -> None:
    conditions = [
        statement.get("Condition")
        for statement in statements(STACK["ReportFunctionRole"])
        if any(action.startswith("ses:") for action in as_list(statement["Action"]))
    ]
    sender = properties("ReportFunction")["Environment"]["Variables"]["REPORT_SENDER"]
    assert conditions == [{"StringEquals": {"ses:FromAddress": sender}}]


@pytest.mark.parametrize(
    ("parameters", "resources", "rule"),
    [
        pytest.param(
            {},
            {"ReceiptRuleSet", "ReceiptRule"},
            f"{SES}:receipt-rule-set/quarantine-report:receipt-rule/quarantine-report",
            id="own-rule-set",
        ),
        pytest.param(
            {"ReceiptRuleSetName": "company"},
            {"ReceiptRule"},
            f"{SES}:receipt-rule-set/company:receipt-rule/quarantine-report",
            id="rule-in-a-given-set",
        ),
        pytest.param(
            {"CreateReceiptRule": "false", "ReceiptRuleSetName": "company"},
            set(),
            f"{SES}:receipt-rule-set/company:receipt-rule/*",
            id="no-rule-but-a-given-set",
        ),
        pytest.param(
            {"CreateReceiptRule": "false"}, set(), f"{SES}:receipt-rule-set/*:receipt-rule/*", id="no-rule"
        ),
    ],
)
def test_ses_may_store_and_invoke_for_this_rule_alone(
    parameters: dict[str, str], resources: set[str], rule: str
) -> None:
    stack = deployed(**parameters)
    assert resources == {name for name, it in stack.items() if it["Type"].startswith("AWS::SES::Receipt")}
    stores = next(it for it in statements(stack["MailBucketPolicy"]) if it["Effect"] == "Allow")
    assert {
        "Sid": "SesStoresRequests",
        "Effect": "Allow",
        "Principal": {"Service": "ses.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "${MailBucket.Arn}/inbound/*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": rule},
        },
    } == stores
    assert {
        "FunctionName": "${IntakeFunction}",
        "Action": "lambda:InvokeFunction",
        "Principal": "ses.amazonaws.com",
        "SourceAccount": "111122223333",
        "SourceArn": rule,
    } == stack["IntakePermission"]["Properties"]


def test_rule_stores_every_mail_to_the_domain_where_intake_reads_it_then_invokes_intake() -> None:
    rule = properties("ReceiptRule")["Rule"]
    assert rule["Recipients"] == [GIVEN["ReportsDomain"]]
    # Intake refuses spam and viruses by their verdicts, which SES gives only to mail that it scans.
    assert (rule["Enabled"], rule["ScanEnabled"]) == (True, True)
    store, invoke = (next(iter(action.values())) for action in rule["Actions"])
    bucket = properties("IntakeFunction")["Environment"]["Variables"]["MAIL_BUCKET"]
    assert (store["BucketName"], store["ObjectKeyPrefix"]) == (bucket, INBOUND)
    assert ("s3:GetObject", f"${{MailBucket.Arn}}/{INBOUND}*") in grants(STACK["IntakeFunctionRole"])
    invoked = properties("IntakePermission")["FunctionName"]
    assert invoke == {"FunctionArn": f"{invoked[:-1]}.Arn}}", "InvocationType": "Event"}
    # SES tries both actions when the rule is made.
    assert {"MailBucketPolicy", "IntakePermission"} <= set(STACK["ReceiptRule"]["DependsOn"])


# What became of a mail


def rule_matches(event: Json, stack: dict[str, Json] = STACK) -> bool:
    pattern = EventPattern.load(json.dumps(stack["SendingEventsRule"]["Properties"]["EventPattern"]))
    return bool(pattern.matches_event(event))


def of_this_stack(name: str) -> Json:
    """An event of SES about a mail of the stack. name: of the file, after `sending_`."""
    return json.loads(json.dumps(sending(name)).replace('["quarantine"]', f'["{PSEUDO["AWS::StackName"]}"]'))


@pytest.mark.parametrize("name", SENDING)
def test_the_rule_brings_each_event_that_feedback_reads(name: str) -> None:
    event = of_this_stack(name)
    assert rule_matches(event)
    set_ = properties("FeedbackFunction")["Environment"]["Variables"]["CONFIGURATION_SET"]
    assert parse_sending_event(json.dumps(event), set_).request_id
    published = properties("SendingEvents")["EventDestination"]
    assert published["Enabled"] is True
    kind = event["detail"]["eventType"]
    assert kind[0].lower() + kind[1:] in published["MatchingEventTypes"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"source": "my.app"}, id="not of SES"),
        pytest.param({"detail-type": "Email Opened"}, id="another event"),
        pytest.param({"detail": sending("delivery")["detail"]}, id="of another configuration set"),
        pytest.param(
            {"detail": {"mail": {"tags": {"ses:configuration-set": [PSEUDO["AWS::StackName"]]}}}},
            id="of a mail without a request",
        ),
    ],
)
def test_the_rule_brings_no_other_event(change: Json) -> None:
    assert not rule_matches(of_this_stack("delivery") | change)


def test_mail_is_sent_with_the_configuration_set_whose_events_are_published() -> None:
    sets = {
        properties(function)["Environment"]["Variables"]["CONFIGURATION_SET"]
        for function in ("ReportFunction", "FeedbackFunction")
    }
    assert sets == {properties("ReportConfigurationSet")["Name"]}
    assert properties("SendingEvents")["ConfigurationSetName"] == "${ReportConfigurationSet}"
    bus = properties("SendingEvents")["EventDestination"]["EventBridgeDestination"]["EventBusArn"]
    assert bus == "arn:aws:events:eu-west-1:111122223333:event-bus/default"
    assert "EventBusName" not in properties("SendingEventsRule")  # the default bus


def test_only_our_rule_may_put_events_on_the_queue() -> None:
    allowed = [it for it in statements(STACK["FeedbackQueuePolicy"]) if it["Effect"] == "Allow"]
    assert properties("FeedbackQueuePolicy")["Queues"] == ["${FeedbackQueue}"]
    assert allowed == [
        {
            "Sid": "EventBridgeTellsOfSentMail",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "${FeedbackQueue.Arn}",
            "Condition": {"ArnEquals": {"aws:SourceArn": "${SendingEventsRule.Arn}"}},
        }
    ]


# Held mail


def lifecycle(stack: dict[str, Json]) -> dict[str, Json]:
    """The rules of the bucket that expire objects under held/, by the reason of their tag; "" for none."""
    rules = stack["MailBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    held = [rule for rule in rules if rule.get("Prefix") == PREFIX]
    assert all(rule["Status"] == "Enabled" for rule in held)
    tags = [rule.get("TagFilters", [{"Key": "reason", "Value": ""}]) for rule in held]
    assert {tag["Key"] for (tag,) in tags} == {"reason"}
    return {tag["Value"]: rule["ExpirationInDays"] for rule, (tag,) in zip(held, tags, strict=True)}


def parameter_of(reason: HoldReason) -> str:
    return f"{reason.title()}RetentionDays"


@pytest.mark.parametrize("reason", HoldReason)
def test_a_held_mail_and_its_row_are_kept_as_long(reason: HoldReason) -> None:
    stack = deployed(**{parameter_of(reason): "7"})
    environ = stack["HoldFunction"]["Properties"]["Environment"]["Variables"]
    kept = HoldSettings.from_environ(environ).retention
    assert kept[reason] == timedelta(days=7)
    rules = {word: timedelta(days=int(days)) for word, days in lifecycle(stack).items() if word}
    assert rules == kept


@pytest.mark.parametrize("parameter", [*map(parameter_of, HoldReason), "LongestRetentionDays"])
def test_reports_list_messages_for_as_long_as_any_is_kept(parameter: str) -> None:
    environ = deployed(**{parameter: "365"})["ReportFunction"]["Properties"]["Environment"]["Variables"]
    assert ReportSettings.from_environ(environ).longest_retention == timedelta(days=365)


def test_the_longest_retention_of_a_stack_is_that_of_the_code() -> None:
    longest = TEMPLATE["Parameters"]["LongestRetentionDays"]
    assert longest["MaxValue"] == held.LONGEST_RETENTION.days
    assert {longest["Default"]} == {
        TEMPLATE["Parameters"][parameter_of(reason)]["Default"] for reason in HoldReason
    }


def test_what_made_no_row_is_kept_longer_than_any_that_did() -> None:
    longest = max(TEMPLATE["Parameters"][parameter_of(reason)]["MaxValue"] for reason in HoldReason)
    assert lifecycle(STACK)[""] > longest


def test_the_bucket_is_made_when_it_may_already_tell_of_objects() -> None:
    """S3 tries the queue when the notification is set up."""
    (notified,) = properties("MailBucket")["NotificationConfiguration"]["QueueConfigurations"]
    (policy,) = (
        name
        for name in of_type("AWS::SQS::QueuePolicy")
        if ("sqs:SendMessage", notified["Queue"]) in grants(STACK[name])
    )
    assert policy in as_list(STACK["MailBucket"]["DependsOn"])


def test_only_s3_of_this_account_may_tell_of_held_mail() -> None:
    found = properties("HeldQueuePolicy")
    allowed = [it for it in statements(STACK["HeldQueuePolicy"]) if it["Effect"] == "Allow"]
    assert found["Queues"] == ["${HeldQueue}"]
    assert allowed == [
        {
            "Sid": "S3TellsOfObjects",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "${HeldQueue.Arn}",
            "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
        }
    ]


def test_a_default_of_filters_is_all_that_there_are() -> None:
    assert DEFAULTS["FilterFamilies"] == ",".join(Family)


# Mail out


def test_reports_are_sent_with_the_set_of_the_stack() -> None:
    name = properties("ReportConfigurationSet")["Name"]
    assert name == properties("ReportFunction")["Environment"]["Variables"]["CONFIGURATION_SET"]
    assert properties("ReportEvents")["ConfigurationSetName"] == "${ReportConfigurationSet}"


ZONE = {"HostedZoneId": "Z0123456789ABCDEFGHIJ"}
IDENTITY = {"CreateIdentity": "true"}
MAIL_FROM = IDENTITY | {"MailFromDomain": "bounce.send.example.com"}
MX = ("MX", "reports.example.com", "10 inbound-smtp.eu-west-1.amazonaws.com")
DKIM = {
    ("CNAME", f"${{SenderIdentity.DkimDNSTokenName{n}}}", f"${{SenderIdentity.DkimDNSTokenValue{n}}}")
    for n in (1, 2, 3)
}
BOUNCES = {
    ("MX", "bounce.send.example.com", "10 feedback-smtp.eu-west-1.amazonses.com"),
    ("TXT", "bounce.send.example.com", '"v=spf1 include:amazonses.com ~all"'),
}


@pytest.mark.parametrize(
    ("parameters", "identities", "records"),
    [
        pytest.param({}, [], set(), id="neither"),
        pytest.param(ZONE, [], {MX}, id="zone"),
        pytest.param(IDENTITY, ["send.example.com"], set(), id="identity"),
        pytest.param(ZONE | IDENTITY, ["send.example.com"], {MX} | DKIM, id="zone-and-identity"),
        pytest.param(ZONE | MAIL_FROM, ["send.example.com"], {MX} | DKIM | BOUNCES, id="and-mail-from"),
        pytest.param(
            ZONE | MAIL_FROM | {"CreateIdentity": "false"}, [], {MX}, id="mail-from-without-an-identity"
        ),
    ],
)
def test_identity_and_records_are_made_when_asked_for(
    parameters: dict[str, str], identities: list[str], records: set[tuple[str, str, str]]
) -> None:
    stack = [it for it in deployed(**parameters).values() if it["Type"] != "AWS::Lambda::Function"]
    made = [it["Properties"] for it in stack if it["Type"] == "AWS::Route53::RecordSet"]
    assert records == {(it["Type"], it["Name"], value) for it in made for value in it["ResourceRecords"]}
    assert len(made) == len(records)
    assert identities == [
        it["Properties"]["EmailIdentity"] for it in stack if it["Type"] == "AWS::SES::EmailIdentity"
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({}, {"MxRecord"}, id="no-identity"),
        pytest.param(IDENTITY, {"MxRecord", "DkimRecord1", "DkimRecord2", "DkimRecord3"}, id="identity"),
        pytest.param(
            MAIL_FROM,
            {
                *("MxRecord", "DkimRecord1", "DkimRecord2", "DkimRecord3"),
                *("MailFromMxRecord", "MailFromSpfRecord"),
            },
            id="mail-from",
        ),
    ],
)
def test_outputs_print_each_record_to_publish(parameters: dict[str, str], expected: set[str]) -> None:
    given = PSEUDO | DEFAULTS | GIVEN | parameters
    assert expected == {
        name
        for name, output in TEMPLATE["Outputs"].items()
        if "Record" in name
        and ("Condition" not in output or holds({"Condition": output["Condition"]}, given))
    }


# Deployment and monitoring


@pytest.mark.parametrize(
    ("tracing", "mode", "policies"),
    [
        pytest.param("Disabled", None, [], id="off"),
        pytest.param("Active", {"Mode": "Active"}, [X_RAY], id="on"),
    ],
)
def test_tracing_is_configured_and_granted_when_asked_for(
    tracing: str, mode: dict[str, str] | None, policies: list[str]
) -> None:
    stack = deployed(Tracing=tracing)
    for function in FUNCTIONS:
        assert mode == stack[function]["Properties"].get("TracingConfig")
        assert policies == stack[f"{function}Role"]["Properties"]["ManagedPolicyArns"]


def test_published_version_is_the_project_s() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    published = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert project["version"] == published["SemanticVersion"]
    assert project["license"] == published["SpdxLicenseId"]
    for file in ("LicenseUrl", "ReadmeUrl"):
        assert (PROJECT / published[file]).is_file()


def test_the_stack_shows_the_version() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert TEMPLATE["Outputs"]["Version"]["Value"] == project["version"]


EXISTING = {f"Existing{table}": "restored" for table in of_type("AWS::DynamoDB::Table")}


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        pytest.param({}, None, id="the defaults"),
        pytest.param(
            {"MailFromDomain": "bounce.send.example.com"}, "MailFromNeedsIdentity", id="MAIL FROM alone"
        ),
        pytest.param(
            {"MailFromDomain": "bounce.send.example.com", "CreateIdentity": "true"}, None, id="MAIL FROM"
        ),
        pytest.param(
            {"MailFromDomain": GIVEN["ReportsDomain"], "CreateIdentity": "true"},
            "MailFromReceivesNoRequests",
            id="MAIL FROM of requests",
        ),
        pytest.param({"IntakeConcurrency": "0"}, "IntakeMayRun", id="no intake"),
        pytest.param({"IntakeConcurrency": "5"}, None, id="some intake"),
        pytest.param({"DeletionProtection": "false"}, None, id="no protection"),
        pytest.param(EXISTING, None, id="existing tables"),
        pytest.param(
            EXISTING | {"DeletionProtection": "false"}, "ProtectionNeedsTables", id="protection of no table"
        ),
    ],
)
def test_a_parameter_in_vain_is_refused(parameters: dict[str, str], refused: str | None) -> None:
    given = PSEUDO | DEFAULTS | GIVEN | parameters
    failed = [
        name
        for name, rule in TEMPLATE["Rules"].items()
        if ("RuleCondition" not in rule or holds(rule["RuleCondition"], given))
        and not all(holds(each["Assert"], given) for each in rule["Assertions"])
    ]
    assert failed == ([refused] if refused else [])


def test_each_environment_gives_parameters_that_there_are() -> None:
    text = (PROJECT / "samconfig.toml").read_text("utf-8")
    assert {"default", "production"} == tomllib.loads(text).keys() - {"version"}
    given = {name for name, _ in re.findall(r'^#     "(\w+)=(.*)",$', text, flags=re.MULTILINE)}
    assert given <= TEMPLATE["Parameters"].keys()
    assert GIVEN.keys() <= given


def test_every_parameter_is_described_and_shown_in_one_group() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(TEMPLATE["Parameters"]) == sorted(shown)
    assert set() == {name for name, it in TEMPLATE["Parameters"].items() if not it.get("Description")}


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        pytest.param("ReportsDomain", "reports.example.com", True, id="domain"),
        pytest.param("ReportsDomain", "berichte.xn--bcher-kva.example", True, id="domain-a-label"),
        pytest.param("ReportsDomain", "Reports.example.com", False, id="domain-upper-case"),
        pytest.param("ReportsDomain", "localhost", False, id="domain-of-one-label"),
        pytest.param("ReportsDomain", "@reports.example.com", False, id="domain-with-at"),
        pytest.param("Trigger", "manual-report-request", True, id="trigger"),
        pytest.param("Trigger", "manual+report", False, id="trigger-with-suffix"),
        pytest.param("Trigger", "report@example.com", False, id="trigger-with-domain"),
        pytest.param("Trigger", "release", False, id="trigger-of-an-action"),
        pytest.param("Trigger", "digest-on-demand", False, id="trigger-that-begins-like-another"),
        pytest.param("Trigger", "digest-of-held-mail", True, id="trigger-that-resembles-another"),
        pytest.param("ReportSender", "quarantine@reports.example.com", True, id="sender"),
        pytest.param(
            "ReportSender", "Quarantine <quarantine@reports.example.com>", False, id="sender-with-name"
        ),
        pytest.param("ReportSender", "quarantine@Reports.example.com", False, id="sender-upper-case"),
        pytest.param("ReportSender", "*@reports.example.com", False, id="sender-wildcard"),
        pytest.param("ReportSender", "", False, id="no-sender"),
        pytest.param("ReplyTo", "", True, id="no-reply-to"),
        pytest.param("ReplyTo", "it-help@example.com", True, id="reply-to"),
        pytest.param("ReplyTo", "a@example.com, b@example.com", False, id="two-reply-tos"),
        pytest.param("ReceiptRuleSetName", "", True, id="no-rule-set"),
        pytest.param("ReceiptRuleSetName", "default-rule-set", True, id="rule-set"),
        pytest.param("ReceiptRuleSetName", "company/*", False, id="rule-set-wildcard"),
        pytest.param("MailFromDomain", "", True, id="no-mail-from"),
        pytest.param("MailFromDomain", "bounce.reports.example.com", True, id="mail-from"),
        pytest.param("MailFromDomain", "me@reports.example.com", False, id="mail-from-with-local-part"),
        pytest.param("HostedZoneId", "", True, id="no-zone"),
        pytest.param("HostedZoneId", "Z0123456789ABCDEFGHIJ", True, id="zone"),
        pytest.param("HostedZoneId", "/hostedzone/Z0123456789ABCDEFGHIJ", False, id="zone-path"),
        *(pytest.param("UserActions", word, True, id=f"action-{word}") for word in ("none", *USER_ACTIONS)),
        pytest.param("UserActions", ",".join(USER_ACTIONS), True, id="all-actions"),
        pytest.param("UserActions", "preview,none", False, id="an-action-and-none"),
        pytest.param("UserActions", "approve", False, id="action-of-an-administrator"),
        *(pytest.param("ReleaseReasons", word, True, id=f"reason-{word}") for word in ("none", *HoldReason)),
        pytest.param("ReleaseReasons", "spam, bulk", False, id="reasons-with-a-space"),
        *(pytest.param("FilterFamilies", word, True, id=f"filter-{word}") for word in ("none", *Family)),
        pytest.param("FilterFamilies", ",".join(Family), True, id="all-filters"),
        pytest.param("FilterFamilies", "", False, id="no-filter-named"),
        pytest.param("FilterFamilies", "amavis,none", False, id="a-filter-and-none"),
        pytest.param("FilterFamilies", "amavis, ses", False, id="filters-with-a-space"),
        pytest.param("FilterFamilies", "amavis,", False, id="filters-with-a-comma-too-many"),
        pytest.param("FilterFamilies", "mailscanner", False, id="unknown-filter"),
        pytest.param("AlarmTopicArn", "", True, id="no-topic"),
        pytest.param("AlarmTopicArn", "arn:aws:sns:eu-west-1:111122223333:oncall", True, id="topic"),
        pytest.param("AlarmTopicArn", "oncall", False, id="topic-without-arn"),
        pytest.param("KmsKeyArn", "", True, id="no-key"),
        pytest.param("KmsKeyArn", KEY, True, id="key"),
        pytest.param("KmsKeyArn", "alias/quarantine", False, id="key-alias"),
        pytest.param(
            "KmsKeyArn", "arn:aws:kms:eu-west-1:111122223333:alias/mail", False, id="arn-of-an-alias"
        ),
        pytest.param("PermissionsBoundaryArn", "", True, id="no-boundary"),
        pytest.param(
            "PermissionsBoundaryArn", "arn:aws:iam::111122223333:policy/dev/bounded", True, id="boundary"
        ),
        pytest.param("PermissionsBoundaryArn", "bounded", False, id="boundary-without-arn"),
        pytest.param("ExistingSendersTable", "", True, id="no-table"),
        pytest.param("ExistingSendersTable", "quarantine-report-Senders_1.restored", True, id="table"),
        pytest.param("ExistingSendersTable", KEY, False, id="table-by-arn"),
    ],
)
def test_parameter_pattern(parameter: str, value: str, accepted: bool) -> None:
    pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
    assert accepted == bool(re.fullmatch(pattern, value))


@pytest.mark.parametrize("local", ["x" * 32, "x" * 33, *OTHER_LOCAL_PARTS, "ask-me", "asked"])
def test_the_template_refuses_the_triggers_that_the_functions_refuse(local: str) -> None:
    trigger = TEMPLATE["Parameters"]["Trigger"]
    taken = len(local) <= trigger["MaxLength"] and bool(re.fullmatch(trigger["AllowedPattern"], local))
    environ = properties("IntakeFunction")["Environment"]["Variables"] | {"TRIGGER": local}
    try:
        IntakeSettings.from_environ(environ)
    except BadSetting:
        assert not taken
    else:
        assert taken


def test_the_defaults_of_actions_are_those_of_the_code() -> None:
    assert policy_of(properties("ReportFunction")["Environment"]["Variables"]) == policy_of({})


def test_layer_pins_what_the_lock_pins() -> None:
    lock = tomllib.loads((PROJECT / "uv.lock").read_text("utf-8"))
    locked = {it["name"]: it for it in lock["package"]}
    needed = {"quarantine-report"}
    while more := {it["name"] for name in needed for it in locked[name].get("dependencies", [])} - needed:
        needed |= more
    expected = sorted(f"{name}=={locked[name]['version']}" for name in needed - {"quarantine-report"})
    actual = (PROJECT / "layers/quarantine/requirements.txt").read_text("utf-8").splitlines()
    assert expected == sorted(actual)
