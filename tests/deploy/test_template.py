"""What template.yaml guarantees to the functions, to SES and to the operator.

The template is read as CloudFormation reads it: SAM's transform first, then parameters and conditions.
"""

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped]
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

from quarantine.held import HoldReason
from quarantine.holding.filters.family import Family
from quarantine.holding.notification import PREFIX
from quarantine.settings import HoldSettings

type Json = Any
"""A part of a template: the tests check its shape."""

PROJECT = Path(__file__).parents[2]
TEMPLATE: dict[str, Json] = decode(str(PROJECT / "template.yaml"))[0]

GIVEN = {"ReportsDomain": "reports.example.com", "ReportSender": "quarantine@send.example.com"}
DEFAULTS = {name: str(it["Default"]) for name, it in TEMPLATE["Parameters"].items() if "Default" in it}
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "quarantine-report",
}
BASIC_EXECUTION = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
X_RAY = "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess"
SES = "arn:aws:ses:eu-west-1:111122223333"
FUNCTIONS = ("IntakeFunction", "ReportFunction", "HoldFunction")


class ManagedPolicies:
    """The policies that SAM attaches by name: it asks for their ARNs."""

    def load(self) -> dict[str, str]:
        return {}


def resolve(value: Json, given: dict[str, str]) -> Json:  # noqa: C901, PLR0911  # a case per function
    """`value` as CloudFormation resolves it; attributes of created resources stay `${Resource.Attribute}`."""
    match value:
        case {"Ref": name}:
            return given.get(name, f"${{{name}}}")
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": [text, names]}:
            return resolve({"Fn::Sub": text}, given | resolve(names, given))
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda name: given.get(name[1], name[0]), text)
        case {"Fn::Join": [separator, parts]}:
            return separator.join(resolve(parts, given))
        case {"Fn::Split": [separator, text]}:
            return resolve(text, given).split(separator)
        case {"Fn::Select": [index, parts]}:
            return resolve(parts, given)[int(index)]
        case {"Fn::If": [condition, then, otherwise]}:
            return resolve(then if holds({"Condition": condition}, given) else otherwise, given)
        case dict():
            return {key: resolve(part, given) for key, part in value.items()}
        case list():
            return [resolve(part, given) for part in value]
        case _:
            return value


def holds(condition: Json, given: dict[str, str]) -> bool:
    match condition:
        case {"Condition": name}:
            return holds(TEMPLATE["Conditions"][name], given)
        case {"Fn::Equals": [left, right]}:
            return bool(resolve(left, given) == resolve(right, given))
        case {"Fn::Not": [part]}:
            return not holds(part, given)
        case {"Fn::And": parts}:
            return all(holds(part, given) for part in parts)
        case _:
            raise NotImplementedError(condition)


def deployed(**parameters: str) -> dict[str, Json]:
    """The resources of a stack that is created with these parameters, by logical id."""
    given = PSEUDO | DEFAULTS | GIVEN | parameters
    packaged = copy.deepcopy(TEMPLATE)
    for resource in packaged["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][code] = "s3://packages/code"  # as sam deploy does
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(
            "AWS_DEFAULT_REGION", given["AWS::Region"]
        )  # SAM writes ARNs of the region it runs in
        resources = transform(packaged, DEFAULTS | GIVEN | parameters, ManagedPolicies())["Resources"]
    return {
        name: resolve(resource, given)
        for name, resource in resources.items()
        if "Condition" not in resource or holds({"Condition": resource["Condition"]}, given)
    }


STACK = deployed()


def properties(name: str) -> dict[str, Json]:
    found: dict[str, Json] = STACK[name]["Properties"]
    return found


def as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def statements(resource: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The statements of a role, or of the policy of a bucket or queue."""
    held = resource["Properties"]
    for policy in held.get("Policies", [held]):
        yield from policy.get("PolicyDocument", {"Statement": []})["Statement"]


def grants(resource: dict[str, Json]) -> set[tuple[str, str]]:
    """What a role may do: (action, resource)."""
    return {
        (action, target)
        for statement in statements(resource)
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for target in as_list(statement["Resource"])
    }


# Data


@pytest.mark.parametrize(
    ("table", "keys", "indexes"),
    [
        pytest.param("SendersTable", ["principal", "record"], {}, id="senders"),
        pytest.param("QuarantineTable", ["recipient", "entry"], {}, id="quarantine"),
        pytest.param(
            "RequestsTable", ["request_id"], {"by_requester": ["requester", "received_at"]}, id="requests"
        ),
    ],
)
def test_table_has_keys_of_the_data_model(table: str, keys: list[str], indexes: dict[str, list[str]]) -> None:
    def names(schema: Json) -> list[str]:
        assert ["HASH", "RANGE"][: len(schema)] == [key["KeyType"] for key in schema]
        return [key["AttributeName"] for key in schema]

    found = properties(table)
    assert keys == names(found["KeySchema"])
    assert indexes == {
        it["IndexName"]: names(it["KeySchema"]) for it in found.get("GlobalSecondaryIndexes", [])
    }
    assert {"S"} == {it["AttributeType"] for it in found["AttributeDefinitions"]}


@pytest.mark.parametrize(
    ("table", "expires_by", "after_the_stack"),
    [
        pytest.param("SendersTable", None, "Retain", id="senders"),
        pytest.param("QuarantineTable", "expires_at", "Retain", id="quarantine"),
        pytest.param("RequestsTable", "expires_at", "Delete", id="requests"),
    ],
)
def test_table_keeps_what_it_should(table: str, expires_by: str | None, after_the_stack: str) -> None:
    found = properties(table)
    assert expires_by == found.get("TimeToLiveSpecification", {}).get("AttributeName")
    assert after_the_stack == STACK[table]["DeletionPolicy"] == STACK[table]["UpdateReplacePolicy"]
    assert found["BillingMode"] == "PAY_PER_REQUEST"
    assert found["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert found["SSESpecification"] == {"SSEEnabled": True}


# The functions


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        pytest.param(
            "IntakeFunction",
            {
                "SENDERS_TABLE": "${SendersTable}",
                "REQUESTS_TABLE": "${RequestsTable}",
                "JOBS_QUEUE_URL": "${JobsQueue}",
                "MAIL_BUCKET": "${MailBucket}",
                "TRIGGER": "manual-report-request",
                "REPORT_SENDER": "quarantine@send.example.com",
                "COOLDOWN_SECONDS": "300",
                "MAILBOX_REPORTS_PER_HOUR": "20",
                "DOMAIN_REQUESTS_PER_HOUR": "10000",
                "POWERTOOLS_SERVICE_NAME": "intake",
                "POWERTOOLS_METRICS_NAMESPACE": "QuarantineReport",
            },
            id="intake",
        ),
        pytest.param(
            "ReportFunction",
            {
                "QUARANTINE_TABLE": "${QuarantineTable}",
                "REQUESTS_TABLE": "${RequestsTable}",
                "TRIGGER": "manual-report-request",
                "REPORTS_DOMAIN": "reports.example.com",
                "REPORT_SENDER": "quarantine@send.example.com",
                "MAX_ROWS": "100",
                "REPLY_TO": "",
                "WHEN_EMPTY": "silent",
                "CONFIGURATION_SET": "quarantine-report",
                "LEASE_SECONDS": "60",
                "POWERTOOLS_SERVICE_NAME": "report",
                "POWERTOOLS_METRICS_NAMESPACE": "QuarantineReport",
            },
            id="report",
        ),
        pytest.param(
            "HoldFunction",
            {
                "MAIL_BUCKET": "${MailBucket}",
                "QUARANTINE_TABLE": "${QuarantineTable}",
                "HELD_DEAD_LETTERS_URL": "${HeldDeadLetters}",
                "FILTER_FAMILIES": "amavis,rspamd,spamassassin,microsoft,ses",
                "RETENTION_DAYS": "spam=30,phishing=30,virus=30,bulk=30,policy=30,blocked=30",
                "POWERTOOLS_SERVICE_NAME": "hold",
                "POWERTOOLS_METRICS_NAMESPACE": "QuarantineReport",
            },
            id="hold",
        ),
    ],
)
def test_function_is_given_its_settings(function: str, settings: dict[str, str]) -> None:
    assert settings == properties(function)["Environment"]["Variables"]


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


def test_no_two_runs_hold_a_request_and_no_job_waits_for_a_dead_one() -> None:
    timeout = properties("ReportFunction")["Timeout"]
    lease = int(properties("ReportFunction")["Environment"]["Variables"]["LEASE_SECONDS"])
    visibility = properties("JobsQueue")["VisibilityTimeout"]
    assert timeout < lease < visibility
    assert 6 * timeout <= visibility


def test_no_held_mail_comes_again_while_it_is_at_work() -> None:
    assert 6 * properties("HoldFunction")["Timeout"] <= properties("HeldQueue")["VisibilityTimeout"]


def test_held_mail_that_fails_is_kept() -> None:
    mapping = properties("HeldObjects")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["FunctionName"] == "${HoldFunction}"
    assert mapping["EventSourceArn"] == "${HeldQueue.Arn}"
    assert properties("HeldQueue")["RedrivePolicy"]["deadLetterTargetArn"] == "${HeldDeadLetters.Arn}"
    assert properties("HeldDeadLetters")["MessageRetentionPeriod"] == 14 * 24 * 60 * 60


def test_failed_jobs_and_failed_events_are_kept() -> None:
    assert properties("ReportJobs")["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert properties("JobsQueue")["RedrivePolicy"]["deadLetterTargetArn"] == "${JobsDeadLetters.Arn}"
    (on_failure,) = (
        it["Properties"] for it in STACK.values() if it["Type"] == "AWS::Lambda::EventInvokeConfig"
    )
    assert on_failure["DestinationConfig"] == {"OnFailure": {"Destination": "${IntakeFailures.Arn}"}}


# Who may do what


def test_who_may_ask_is_never_found_by_a_scan() -> None:
    denied = [it for it in statements(STACK["IntakeFunctionRole"]) if it["Effect"] == "Deny"]
    assert [(it["Action"], it["Resource"], it["Condition"]) for it in denied] == [
        ("dynamodb:PartiQLSelect", "${SendersTable.Arn}", {"Bool": {"dynamodb:FullTableScan": "true"}})
    ]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        pytest.param(
            "IntakeFunctionRole",
            {
                ("dynamodb:PartiQLSelect", "${SendersTable.Arn}"),
                ("dynamodb:PutItem", "${RequestsTable.Arn}"),
                ("dynamodb:UpdateItem", "${RequestsTable.Arn}"),
                ("s3:GetObject", "${MailBucket.Arn}/inbound/*"),
                ("sqs:SendMessage", "${JobsQueue.Arn}"),
                ("sqs:SendMessage", "${IntakeFailures.Arn}"),
            },
            id="intake",
        ),
        pytest.param(
            "ReportFunctionRole",
            {
                ("dynamodb:Query", "${QuarantineTable.Arn}"),
                ("dynamodb:UpdateItem", "${RequestsTable.Arn}"),
                ("sqs:ReceiveMessage", "${JobsQueue.Arn}"),
                ("sqs:DeleteMessage", "${JobsQueue.Arn}"),
                ("sqs:GetQueueAttributes", "${JobsQueue.Arn}"),
                ("ses:SendEmail", f"{SES}:identity/quarantine@send.example.com"),
                ("ses:SendEmail", f"{SES}:identity/send.example.com"),
                ("ses:SendEmail", f"{SES}:configuration-set/quarantine-report"),
                ("ses:SendRawEmail", f"{SES}:identity/quarantine@send.example.com"),
                ("ses:SendRawEmail", f"{SES}:identity/send.example.com"),
                ("ses:SendRawEmail", f"{SES}:configuration-set/quarantine-report"),
            },
            id="report",
        ),
        pytest.param(
            "HoldFunctionRole",
            {
                ("dynamodb:PutItem", "${QuarantineTable.Arn}"),
                ("s3:GetObject", "${MailBucket.Arn}/held/*"),
                ("s3:PutObjectTagging", "${MailBucket.Arn}/held/*"),
                ("s3:ListBucket", "${MailBucket.Arn}"),
                ("sqs:SendMessage", "${HeldDeadLetters.Arn}"),
                ("sqs:ReceiveMessage", "${HeldQueue.Arn}"),
                ("sqs:DeleteMessage", "${HeldQueue.Arn}"),
                ("sqs:GetQueueAttributes", "${HeldQueue.Arn}"),
            },
            id="hold",
        ),
    ],
)
def test_role_may_do_exactly_this(role: str, expected: set[tuple[str, str]]) -> None:
    assert expected == grants(STACK[role])
    assert properties(role)["ManagedPolicyArns"] == [BASIC_EXECUTION]


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
    assert conditions == [{"StringEquals": {"ses:FromAddress": "quarantine@send.example.com"}}]


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


def test_rule_stores_every_mail_to_the_domain_then_invokes_intake() -> None:
    assert properties("ReceiptRule") == {
        "RuleSetName": "${ReceiptRuleSet}",
        "Rule": {
            "Name": "quarantine-report",
            "Enabled": True,
            "Recipients": ["reports.example.com"],
            "TlsPolicy": "Optional",
            "ScanEnabled": True,
            "Actions": [
                {"S3Action": {"BucketName": "${MailBucket}", "ObjectKeyPrefix": "inbound/"}},
                {"LambdaAction": {"FunctionArn": "${IntakeFunction.Arn}", "InvocationType": "Event"}},
            ],
        },
    }
    assert STACK["ReceiptRule"]["DependsOn"] == ["MailBucketPolicy", "IntakePermission"]


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


def test_what_made_no_row_is_kept_longer_than_any_that_did() -> None:
    longest = max(TEMPLATE["Parameters"][parameter_of(reason)]["MaxValue"] for reason in HoldReason)
    assert lifecycle(STACK)[""] > longest


def test_the_bucket_tells_of_objects_under_held() -> None:
    (notification,) = properties("MailBucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert notification == {
        "Event": "s3:ObjectCreated:*",
        "Queue": "${HeldQueue.Arn}",
        "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": PREFIX}]}},
    }
    assert "HeldQueuePolicy" in as_list(STACK["MailBucket"]["DependsOn"])


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


def test_a_mail_server_may_add_held_mail_and_no_more() -> None:
    assert grants(STACK["HoldMailPolicy"]) == {("s3:PutObject", "${MailBucket.Arn}/held/*")}


def test_a_default_of_filters_is_all_that_there_are() -> None:
    assert DEFAULTS["FilterFamilies"] == ",".join(Family)


# Mail out


def test_reports_are_sent_with_a_set_that_tells_of_bounces() -> None:
    name = properties("ReportConfigurationSet")["Name"]
    assert name == properties("ReportFunction")["Environment"]["Variables"]["CONFIGURATION_SET"]
    assert properties("ReportEvents") == {
        "ConfigurationSetName": "${ReportConfigurationSet}",
        "EventDestination": {
            "Name": "cloudwatch",
            "Enabled": True,
            "MatchingEventTypes": ["bounce", "complaint", "reject"],
            "CloudWatchDestination": {
                "DimensionConfigurations": [
                    {
                        "DimensionName": "ses:configuration-set",
                        "DimensionValueSource": "messageTag",
                        "DefaultDimensionValue": name,
                    }
                ]
            },
        },
    }


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


def test_dashboard_is_one_that_cloudwatch_reads() -> None:
    widgets = json.loads(properties("Dashboard")["DashboardBody"])["widgets"]
    shown = {
        name
        for widget in widgets
        for metric in widget["properties"]["metrics"]
        for name in [metric[1] if isinstance(metric[0], str) else metric[0]["id"]]
    }
    assert shown == {
        *("requests", "reports", "total", "Duration", "ApproximateAgeOfOldestMessage"),
        *("held", "ApproximateNumberOfMessagesVisible", "Reject", "Bounce", "Complaint"),
    }


@pytest.mark.parametrize(
    ("tracing", "mode", "policies"),
    [
        pytest.param("Disabled", None, [BASIC_EXECUTION], id="off"),
        pytest.param("Active", {"Mode": "Active"}, [BASIC_EXECUTION, X_RAY], id="on"),
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


def test_each_environment_gives_parameters_that_there_are() -> None:
    text = (PROJECT / "samconfig.toml").read_text("utf-8")
    assert {"default", "production"} == tomllib.loads(text).keys() - {"version"}
    given = {name for name, _ in re.findall(r'^#     "(\w+)=(.*)",$', text, flags=re.MULTILINE)}
    assert given <= TEMPLATE["Parameters"].keys()
    assert GIVEN.keys() <= given


@pytest.mark.parametrize(
    ("alarm", "metric", "dimensions"),
    [
        pytest.param(
            "JobsDeadLettersAlarm",
            "AWS/SQS ApproximateNumberOfMessagesVisible",
            {"QueueName": "${JobsDeadLetters.QueueName}"},
            id="dead-jobs",
        ),
        pytest.param(
            "HeldDeadLettersAlarm",
            "AWS/SQS ApproximateNumberOfMessagesVisible",
            {"QueueName": "${HeldDeadLetters.QueueName}"},
            id="held-mail-without-a-row",
        ),
        pytest.param(
            "JobsLateAlarm",
            "AWS/SQS ApproximateAgeOfOldestMessage",
            {"QueueName": "${JobsQueue.QueueName}"},
            id="late-jobs",
        ),
        pytest.param(
            "HeldMailLateAlarm",
            "AWS/SQS ApproximateAgeOfOldestMessage",
            {"QueueName": "${HeldQueue.QueueName}"},
            id="late-held-mail",
        ),
        pytest.param(
            "IntakeFailuresAlarm",
            "AWS/SQS ApproximateNumberOfMessagesVisible",
            {"QueueName": "${IntakeFailures.QueueName}"},
            id="failed-events",
        ),
        pytest.param(
            "ReportsFailedAlarm",
            "QuarantineReport Reports",
            {"service": "report", "outcome": "failed"},
            id="refused-reports",
        ),
        pytest.param(
            "ReportsBouncedAlarm",
            "AWS/SES Bounce",
            {"ses:configuration-set": "quarantine-report"},
            id="bounces",
        ),
        pytest.param(
            "ReportsComplainedOfAlarm",
            "AWS/SES Complaint",
            {"ses:configuration-set": "quarantine-report"},
            id="complaints",
        ),
    ],
)
def test_alarm_watches_what_is_lost(alarm: str, metric: str, dimensions: dict[str, str]) -> None:
    found = deployed(AlarmTopicArn="arn:aws:sns:eu-west-1:111122223333:oncall")[alarm]["Properties"]
    assert metric == f"{found['Namespace']} {found['MetricName']}"
    assert dimensions == {it["Name"]: it["Value"] for it in found["Dimensions"]}
    assert found["AlarmActions"] == ["arn:aws:sns:eu-west-1:111122223333:oncall"]


@pytest.mark.parametrize(
    ("alarm", "queue"),
    [
        pytest.param("JobsLateAlarm", "JobsQueue", id="jobs"),
        pytest.param("HeldMailLateAlarm", "HeldQueue", id="held-mail"),
    ],
)
def test_what_failed_once_is_not_called_late(alarm: str, queue: str) -> None:
    found = properties(alarm)
    assert found["ComparisonOperator"] == "GreaterThanThreshold"
    assert properties(queue)["VisibilityTimeout"] < found["Threshold"]


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
    ],
)
def test_parameter_pattern(parameter: str, value: str, accepted: bool) -> None:
    pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
    assert accepted == bool(re.fullmatch(pattern, value))


def test_layer_pins_what_the_lock_pins() -> None:
    lock = tomllib.loads((PROJECT / "uv.lock").read_text("utf-8"))
    locked = {it["name"]: it for it in lock["package"]}
    needed = {"quarantine-report"}
    while more := {it["name"] for name in needed for it in locked[name].get("dependencies", [])} - needed:
        needed |= more
    expected = sorted(f"{name}=={locked[name]['version']}" for name in needed - {"quarantine-report"})
    actual = (PROJECT / "layers/quarantine/requirements.txt").read_text("utf-8").splitlines()
    assert expected == sorted(actual)
