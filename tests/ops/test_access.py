"""The policies of docs/access.md allow what the commands call, and nothing that no command calls.

The calls are recorded where botocore makes them, with their resources. The deployer's policy is compared with
what CloudFormation needs for each type of resource, as the schemas of the types say.
"""

import json
import re
import shlex
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from typer.main import get_command

from ops import cli
from quarantine.acting.asks import Ask
from quarantine.acting.reference import Reference
from quarantine.held import HeldKey
from quarantine.mail.addresses import Address
from quarantine.stores.asks import Asks
from tests.deploy.template import deployed
from tests.deploy.test_policies import AUTHORISED_AS, STATED, TRANSACTED
from tests.functions.test_hold import rows
from tests.ops.conftest import Terminal
from tests.ops.test_doctor import Account, account, attach_requests  # noqa: F401 - a fixture
from tests.ops.test_redrive import record
from tests.world import World, load_event

type Grant = tuple[str, str]
"""An IAM action, and the ARN of a resource; `*` for an action that no policy can limit to a resource."""

PROJECT = Path(__file__).parents[2]
ACCESS = (PROJECT / "docs/access.md").read_text()
PLACES = {"ACCOUNT": "123456789012", "REGION": "us-east-1", "STACK": "quarantine", "TABLE": "restored"}
BOB = "bob@example.com"
EVENT = load_event("accepted_relay_ipv4")
REQUEST_ID = EVENT["Records"][0]["ses"]["mail"]["messageId"]
JOB = json.dumps({"version": 2, "kind": "report", "request_id": REQUEST_ID})

# The functions of the tests for doctor, as CloudFormation would name them.
FUNCTION_NAMES = {
    name: f"quarantine-{name.title()}Function-1"
    for name in ("intake", "report", "hold", "feedback", "digest")
}

# An action has the name of its call, but for these.
# https://docs.aws.amazon.com/service-authorization/latest/reference/
NAMED_OTHERWISE = {
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:ListObjectsV2": "s3:ListBucket",
    "lambda:Invoke": "lambda:InvokeFunction",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    **{f"s3:{call}": f"s3:{action}" for call, action in AUTHORISED_AS.items()},
}
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}


@dataclass
class Ledger:
    """The permissions that calls need. A call counts only inside `recording`."""

    needed: set[Grant] = field(default_factory=set)
    on: bool = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        self.on = True
        try:
            yield
        finally:
            self.on = False

    def take_down(self, model: Any, params: Mapping[str, Any], **_: object) -> None:
        if self.on:
            self.needed |= {
                (NAMED_OTHERWISE.get(action, action), resource)
                for action, resource in _grants(model.service_model, model.name, params)
                if action not in NEEDS_NO_PERMISSION
            }


def _grants(service: Any, operation: str, params: Mapping[str, Any]) -> Iterator[Grant]:  # noqa: C901, PLR0912
    prefix = "ses" if service.service_name == "sesv2" else service.service_name
    action = f"{prefix}:{operation}"
    match prefix, params:
        case "dynamodb", {"TransactItems": items}:
            for item in items:
                for part, what in item.items():
                    yield TRANSACTED[part], _arn("dynamodb", f"table/{what['TableName']}")
        case "dynamodb", {"Statement": statement}:
            table = statement.split('"')[1]
            yield STATED[statement.split()[0]], _arn("dynamodb", f"table/{table}")
        case "dynamodb", {"RequestItems": tables}:
            for table in tables:
                yield action, _arn("dynamodb", f"table/{table}")
        case "dynamodb", {"TableName": table, "IndexName": index}:
            yield action, _arn("dynamodb", f"table/{table}/index/{index}")
        case "dynamodb", {"TableName": table}:
            yield action, _arn("dynamodb", f"table/{table}")
        case "sqs", {"QueueUrl": url}:
            yield action, _arn("sqs", url.rpartition("/")[2])
        case "s3", {"Bucket": bucket, "Key": key}:
            yield action, f"arn:aws:s3:::{bucket}/{key}"
            if "Tagging" in params:
                yield "s3:PutObjectTagging", f"arn:aws:s3:::{bucket}/{key}"
        case "s3", {"Bucket": bucket}:
            yield action, f"arn:aws:s3:::{bucket}"
        case "lambda", _ if operation == "ListEventSourceMappings":
            yield action, "*"
        case "lambda", {"FunctionName": name}:
            function = name.rpartition(":")[2]
            yield action, _arn("lambda", f"function:{FUNCTION_NAMES.get(function, function)}")
        case "cloudformation", {"StackName": stack}:
            yield action, _arn("cloudformation", f"stack/{stack}/0a1b2c3d")
        case "ses", {"EmailIdentity": identity}:
            yield action, _arn("ses", f"identity/{identity}")
        case "ses", {"ConfigurationSetName": name} if operation.startswith("Get"):
            yield action, _arn("ses", f"configuration-set/{name}")
        case "events", {"Name": rule} | {"Rule": rule}:
            yield action, _arn("events", f"rule/{rule}")
        case "scheduler", {"Name": schedule}:
            yield action, _arn("scheduler", f"schedule/default/{schedule}")
        case "sns", {"TopicArn": topic}:
            yield action, topic
        case _:
            yield action, "*"


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{PLACES['REGION']}:{PLACES['ACCOUNT']}:{resource}"


def statements(heading: str) -> list[dict[str, Any]]:
    """Return the statements of the policy below a heading, with this stack's names."""
    section = ACCESS.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (text,) = re.findall(r"```json\n(.*?)```", section, flags=re.DOTALL)
    for word, value in PLACES.items():
        text = re.sub(rf"\b{word}\b", value, text)
    policy = json.loads(text)
    assert policy["Version"] == "2012-10-17"
    return list(policy["Statement"])


def allowed(heading: str) -> set[Grant]:
    """Return each action with each resource of a policy; both may be patterns."""
    return {
        (action, resource)
        for each in statements(heading)
        for action in _listed(each["Action"])
        for resource in _listed(each["Resource"])
    }


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def admits(grant: Grant, needed: Grant) -> bool:
    return all(map(fnmatchcase, needed, grant))  # IAM: a star stands for any text, slashes included


@pytest.fixture
def ledger(world: World) -> Ledger:
    ledger = Ledger()
    world.session.events.register_first("provide-client-params.*.*", ledger.take_down)
    return ledger


@pytest.fixture
def run(ledger: Ledger, account: Account, terminal: Terminal) -> Callable[..., set[Grant]]:
    """Return a function that runs command lines, and returns the permissions that all of them need."""
    account.set_output("IntakeFunctionName", "intake")
    account.set_output("SendingEventsRuleName", "quarantine-SendingEventsRule-1")
    account.set_output("DigestScheduleName", "quarantine-DigestSchedule-1")
    account.set_output(
        "ReceiptRuleArn", "arn:aws:ses:us-east-1:123456789012:receipt-rule-set/*:receipt-rule/*"
    )
    account.on("lambda.Invoke", lambda **_: (SimpleNamespace(status_code=202), {"StatusCode": 202}))
    terminal.operator = replace(terminal.operator, queue_wait=0)

    def run_all(*lines: str, codes: Container[int] = (0,)) -> set[Grant]:
        for line in lines:
            with ledger.recording():
                code = terminal(*shlex.split(line))
            assert code in codes, (line, terminal.warned)
        return ledger.needed

    return run_all


@pytest.fixture
def laid_out(world: World, tmp_path: Path) -> Path:
    """Leave something for each command to do; return the folder of its files."""
    sqs, s3 = world.session.client("sqs"), world.session.client("s3")
    ses = world.session.client("ses")
    (stack,) = world.session.client("cloudformation").describe_stacks(StackName="quarantine")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    world.records.put_relay("example.com", "192.0.2.0/24")
    world.records.put_held(
        BOB, "<1@x.example>", world.clock.now, "x@x.example", "Invoice 7", raw_key="held/1", code="a" * 16
    )
    (held,) = rows(world, BOB)
    question = Ask(
        HeldKey(BOB, held["entry"]),
        Reference(world.clock.now, "b" * 16),
        Address.parse(BOB),
        "ask",
        world.clock.now,
        world.clock.now + timedelta(days=7),
    )
    Asks(world.session.client("dynamodb"), world.stack.environ["REQUESTS_TABLE"], lambda *_: None).open(
        question, world.clock.now
    )
    due = {"due_shard": "00", "due_at": 1, "last_digest": "digest-0"}
    world.records.put("MAILBOXES_TABLE", {"reader": "carol@example.com", **due})
    assert world.intake(EVENT) == {"outcome": "accepted"}
    assert world.report(*world.jobs()) == []
    world.store_mail("stored", b"From: bob@example.com\r\n\r\n")
    s3.put_object(
        Bucket=outputs["MailBucketName"], Key="held/1", Body=b"Subject: x\n\n", Tagging="reason=spam"
    )
    (told,) = world.held_messages()
    for output, body in (
        ("JobsDeadLettersUrl", JOB),
        ("JobsDeadLettersUrl", "not a job"),
        ("ActionsDeadLettersUrl", JOB),
        ("IntakeFailuresUrl", record(EVENT)),
        ("HeldDeadLettersUrl", told),
        ("FeedbackDeadLettersUrl", json.dumps(load_event("sending_delivery"))),
    ):
        sqs.send_message(QueueUrl=outputs[output], MessageBody=body)
    for name in ("quarantine", "other"):
        ses.create_receipt_rule_set(RuleSetName=name)
    (tmp_path / "mail.eml").write_bytes(b"Delivered-To: bob@example.com\r\nSubject: x\r\n\r\n")
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    return tmp_path


HELP_DESK = (
    "doctor",
    "requests list",
    f"requests list --requester {BOB}",
    f"requests show {REQUEST_ID}",
    "why event.json",
    "why stored",
    f"held list {BOB}",
)
OPERATOR = (
    "relay list",
    "relay add example.org 198.51.100.0/24",
    "relay remove example.org 198.51.100.0/24",
    "auth list",
    "auth allow example.org -m dmarc",
    "auth remove example.org",
    "auth deny mallory@example.com",
    "auth administrators list",
    "auth administrators add example.com alice@example.com",
    "auth administrators remove example.com alice@example.com",
    f"held add {BOB} --sender x@x.example --subject x --reason spam",
    "held import mail.eml --reason spam --days 14",
    "held import mail.eml --reason spam --days 14 --rows-only",
    f"held fetch {BOB} <1@x.example> mail.out",
    f"held show {BOB} <1@x.example>",
    f"held release {BOB} <1@x.example>",
    "asks list",
    f"asks approve {BOB} <1@x.example>",
    f"asks refuse {BOB} <1@x.example>",
    "held codes",
    f"held delete {BOB} <1@x.example>",
    f"held restore {BOB} <1@x.example>",
    f"report preview {BOB}",
    f"forget {BOB} --auth-record --yes",
    f"held purge {BOB} --all --yes",
    "redrive --dry-run",
    "redrive",
    "activate",
    "activate --into other",
    f"digest set {BOB} --at 07:00",
    "digest off example.org",
    "digest remove example.org",
    "digest list",
    f"digest next {BOB}",
    f"digest run {BOB}",
    "digest run",
)

# Of operating.md, without a command of ours.
BY_HAND = {"logs:FilterLogEvents"}


@pytest.fixture
def needed(
    laid_out: Path, account: Account, run: Callable[..., set[Grant]], monkeypatch: pytest.MonkeyPatch
) -> dict[str, set[Grant]]:
    """The permissions that the help desk's commands need, and those of the operator's."""
    monkeypatch.chdir(laid_out)
    run("doctor", codes=(0, 3))  # with a fault: letters wait
    # moto takes the refusal of plain HTTP to heart, and has nothing else.
    account.client("s3").delete_bucket_policy(Bucket=account.output("MailBucketName"))
    help_desk = set(run(*HELP_DESK[1:], codes=(0, 3)))
    account.active = None
    operator = set(run(*OPERATOR, codes=(0, 1)))  # redrive: a letter that cannot be read is left
    attach_requests(account)
    attached = run("doctor", codes=(0, 3)) - operator
    return {"The help desk": help_desk | attached, "The operator": operator}


@pytest.mark.parametrize(
    ("role", "policies"),
    [
        pytest.param("The help desk", ["The help desk"], id="help desk"),
        pytest.param("The operator", ["The help desk", "The operator"], id="operator"),
    ],
)
def test_a_policy_allows_what_the_commands_call(
    role: str, policies: list[str], needed: dict[str, set[Grant]]
) -> None:
    granted = {grant for policy in policies for grant in allowed(policy)}
    denied = {call for call in needed[role] if not any(admits(grant, call) for grant in granted)}
    assert denied == set()


def _is_of(action: str, resource: str) -> bool:
    """Return whether a resource is of the action's service: a statement may list those of two services."""
    return resource == "*" or resource.split(":")[2] == action.partition(":")[0]


@pytest.mark.parametrize("role", ["The help desk", "The operator"])
def test_a_policy_allows_nothing_that_no_command_calls(role: str, needed: dict[str, set[Grant]]) -> None:
    unused = {
        (action, resource)
        for statement in statements(role)
        if not statement["Sid"].startswith("With")
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
        if action not in BY_HAND and _is_of(action, resource)
        if not any(admits((action, resource), call) for call in needed[role])
    }
    assert unused == set()


def test_every_command_is_one_of_these() -> None:
    lines = {" ".join(line.split()[:words]) for line in (*HELP_DESK, *OPERATOR) for words in (1, 2, 3)}
    # They have policies of their own: HoldMailPolicy and DeliverPolicy.
    assert {line for line in _commands(get_command(cli.app)) if line not in lines} == {"hold", "deliver"}


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if subcommands := getattr(command, "commands", None):
        for name, each in subcommands.items():
            yield from _commands(each, (*path, name))
    else:
        yield " ".join(path)


def test_the_help_desk_changes_nothing() -> None:
    reading = r"\w+:(Describe|Filter|Get|List|PartiQLSelect|Query|Scan)\w*|kms:Decrypt"
    assert [action for action, _ in allowed("The help desk") if not re.fullmatch(reading, action)] == []


# --- The deployer ---

# With each option that makes a resource.
WHOLE = deployed(CreateIdentity="true", MailFromDomain="bounce.reports.example.com", HostedZoneId="Z1")
OWN = "quarantine-Name-1"
ARNS = {
    "AWS::CloudWatch::Alarm": _arn("cloudwatch", f"alarm:{OWN}"),
    "AWS::CloudWatch::Dashboard": "arn:aws:cloudwatch::123456789012:dashboard/quarantine-us-east-1",
    "AWS::DynamoDB::Table": _arn("dynamodb", f"table/{OWN}"),
    "AWS::Events::Rule": _arn("events", f"rule/{OWN}"),
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::123456789012:policy/{OWN}",
    "AWS::IAM::Role": f"arn:aws:iam::123456789012:role/{OWN}",
    "AWS::Lambda::EventInvokeConfig": _arn("lambda", f"function:{OWN}"),
    "AWS::Lambda::EventSourceMapping": _arn("lambda", "event-source-mapping:0a1b2c3d"),
    "AWS::Lambda::Function": _arn("lambda", f"function:{OWN}"),
    "AWS::Lambda::LayerVersion": _arn("lambda", "layer:QuarantineLayer1a2b3c:7"),
    "AWS::Lambda::Permission": _arn("lambda", f"function:{OWN}"),
    "AWS::Logs::LogGroup": _arn("logs", f"log-group:{OWN}"),
    "AWS::Route53::RecordSet": "*",
    "AWS::Scheduler::Schedule": _arn("scheduler", f"schedule/default/{OWN}"),
    "AWS::S3::Bucket": "arn:aws:s3:::quarantine-mailbucket-1",
    "AWS::S3::BucketPolicy": "arn:aws:s3:::quarantine-mailbucket-1",
    "AWS::SES::ConfigurationSet": "*",
    "AWS::SES::ConfigurationSetEventDestination": "*",
    "AWS::SES::EmailIdentity": "*",
    "AWS::SES::ReceiptRule": "*",
    "AWS::SES::ReceiptRuleSet": "*",
    "AWS::SQS::Queue": _arn("sqs", OWN),
    "AWS::SQS::QueuePolicy": _arn("sqs", OWN),
}
"""A resource of each type, by the type; `*` where SES or Route 53 knows no resource of that kind."""

# The schemas name what any template may need. Ours attaches its policy to nobody and takes no boundary away.
NOT_DONE = {
    f"iam:{verb}{whom}Policy" for verb in ("Attach", "Detach") for whom in ("Group", "Role", "User")
} | {"iam:DeleteRolePermissionsBoundary"}


@pytest.mark.parametrize("kind", sorted({resource["Type"] for resource in WHOLE.values()}))
def test_the_deployer_may_make_and_remove_each_resource(kind: str) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(PLACES["REGION"], kind).schema
    service = kind.split("::")[1].lower()
    actions = {
        action
        for handler in ("create", "read", "update", "delete")
        for action in schema["handlers"].get(handler, {}).get("permissions", [])
        if action.startswith(f"{service}:")
    }
    granted = allowed("The deployer")
    denied = {
        action
        for action in actions - NOT_DONE
        if not any(admits(grant, (action, ARNS[kind])) for grant in granted)
    }
    assert actions
    assert denied == set()


def test_the_deployer_may_touch_no_other_stack() -> None:
    elsewhere = {"cloudformation:DeleteStack": _arn("cloudformation", "stack/payroll/0a1b2c3d")}
    for kind, arn in ARNS.items():
        if OWN in arn:
            elsewhere[f"{kind.split('::')[1].lower()}:DeleteAnything"] = arn.replace(OWN, "payroll-Name-1")
    granted = allowed("The deployer")
    assert [call for call in elsewhere.items() if any(admits(grant, call) for grant in granted)] == []
