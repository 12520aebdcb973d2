"""`quarantine activate` with moto's SES, and the outputs of a whole stack."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ops.checks import rule, rule_set
from ops.site import Health, Site
from tests.ops.conftest import Terminal
from tests.world import World

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:intake"
RULE_SETS = "arn:aws:ses:us-east-1:123456789012:receipt-rule-set"
ANY_RULE = f"{RULE_SETS}/*:receipt-rule/*"  # of a stack deployed with CreateReceiptRule=false
OWN_RULE = f"{RULE_SETS}/quarantine:receipt-rule/quarantine"

STOP = {"StopAction": {"Scope": "RuleSet"}}
HEADER = {"AddHeaderAction": {"HeaderName": "X-Seen", "HeaderValue": "yes"}}


@dataclass
class Account:
    """Rule sets `quarantine`, which is the stack's, and `other`; neither is active."""

    world: World
    ses: "SESClient"
    outputs: dict[str, str]
    parameters: dict[str, str]

    def describe(self, **_: Any) -> Any:
        """Answer DescribeStacks."""
        stack = {
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()],
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()
            ],
        }
        return SimpleNamespace(status_code=200), {"Stacks": [stack]}

    def leave_rule(self) -> None:
        """Deploy again with CreateReceiptRule=false."""
        self.parameters["CreateReceiptRule"] = "false"
        del self.outputs["ReceiptRuleSetName"]
        self.outputs["ReceiptRuleArn"] = ANY_RULE

    @property
    def active(self) -> str | None:
        return self.ses.describe_active_receipt_rule_set().get("Metadata", {}).get("Name")

    def activate(self, name: str) -> None:
        self.ses.set_active_receipt_rule_set(RuleSetName=name)

    def add(self, name: str, *actions: Any, recipients: Sequence[str] = ()) -> None:
        """Add somebody's rule at the end of `other`."""
        self.ses.create_receipt_rule(
            RuleSetName="other",
            Rule={"Name": name, "Enabled": True, "Recipients": recipients, "Actions": actions},
            After=self.names[-1] if self.names else "",
        )

    @property
    def rules(self) -> list[Any]:
        return [*self.ses.describe_receipt_rule_set(RuleSetName="other").get("Rules", [])]

    @property
    def names(self) -> list[str]:
        return [rule["Name"] for rule in self.rules]


@pytest.fixture
def account(world: World) -> Account:
    (stack,) = world.session.client("cloudformation").describe_stacks(StackName="quarantine")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    role = world.session.client("iam").create_role(RoleName="intake", AssumeRolePolicyDocument="{}")["Role"]
    world.session.client("lambda").create_function(
        FunctionName="intake",
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="app.handler",
        Code={"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/intake:latest"},
        PackageType="Image",
    )
    ses = world.session.client("ses")
    for name in ("quarantine", "other"):
        ses.create_receipt_rule_set(RuleSetName=name)
    outputs |= {
        "ReceiptRuleSetName": "quarantine",
        "ReceiptRuleArn": OWN_RULE,
        "IntakeFunctionArn": FUNCTION,
    }
    account = Account(world, ses, outputs, parameters)
    world.session.events.register_first("before-call.cloudformation.DescribeStacks", account.describe)
    return account


@pytest.fixture
def open_account(account: Account) -> Account:
    """An account whose stack creates no rule, and in which `other` is active."""
    account.leave_rule()
    account.activate("other")
    return account


def test_the_rule_set_becomes_active(account: Account, terminal: Terminal) -> None:
    assert terminal.json("activate") == {"rule_set": "quarantine", "changed": True}
    assert account.active == "quarantine"


def test_an_active_rule_set_stays_active(account: Account, terminal: Terminal) -> None:
    account.activate("quarantine")
    assert terminal.json("activate") == {"rule_set": "quarantine", "changed": False}
    assert account.active == "quarantine"


def test_another_active_rule_set_is_not_replaced(account: Account, terminal: Terminal) -> None:
    account.activate("other")
    assert terminal("activate") == 3
    assert account.active == "other"
    for way in ("ReceiptRuleSetName=other", "CreateReceiptRule=false", "quarantine activate --into other"):
        assert way in terminal.warned


@pytest.mark.parametrize(("active", "named"), [("other", "--into other"), (None, "--into RULE-SET")])
def test_a_stack_without_a_rule_has_nothing_to_activate(
    account: Account, terminal: Terminal, active: str | None, named: str
) -> None:
    account.leave_rule()
    if active:
        account.activate(active)
    assert terminal("activate") == 3
    assert named in terminal.warned
    assert account.active == active


def test_a_place_is_one_in_another_rule_set(account: Account, terminal: Terminal) -> None:
    assert terminal("activate", "--after", "first") == 2
    assert account.active is None


def test_a_stack_of_before_is_deployed_again(account: Account, terminal: Terminal) -> None:
    del account.outputs["ReceiptRuleSetName"]
    assert terminal("activate") == 1
    assert "deploy it again" in terminal.warned


def test_the_rule_is_added_as_the_template_has_it(open_account: Account, terminal: Terminal) -> None:
    open_account.parameters["TlsPolicy"] = "Require"
    assert terminal("activate", "--into", "other") == 0
    assert terminal.warned == ""
    assert open_account.rules == [
        {
            "Name": "quarantine",
            "Enabled": True,
            "TlsPolicy": "Require",
            "Recipients": ["reports.example.com"],
            "Actions": [
                {
                    "S3Action": {
                        "BucketName": open_account.outputs["MailBucketName"],
                        "ObjectKeyPrefix": "inbound/",
                    }
                },
                {"LambdaAction": {"FunctionArn": FUNCTION, "InvocationType": "Event"}},
            ],
            "ScanEnabled": True,
        }
    ]
    assert open_account.active == "other"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param((), ["first", "second", "quarantine"], id="after the last"),
        pytest.param(("--after", "first"), ["first", "quarantine", "second"], id="after one"),
        pytest.param(("--after", ""), ["quarantine", "first", "second"], id="in the first place"),
    ],
)
def test_the_rule_has_its_place(
    open_account: Account, terminal: Terminal, options: tuple[str, ...], expected: list[str]
) -> None:
    open_account.add("first", HEADER)
    open_account.add("second", STOP, recipients=["example.com"])  # not the sub-domain
    assert terminal("activate", "--into", "other", *options) == 0
    assert open_account.names == expected


def test_the_rule_is_added_once(open_account: Account, terminal: Terminal) -> None:
    assert terminal.json("activate", "--into", "other")["changed"] is True
    assert terminal.json("activate", "--into", "other")["changed"] is False
    assert open_account.names == ["quarantine"]


def test_a_rule_set_that_is_not_read_is_told_of(open_account: Account, terminal: Terminal) -> None:
    open_account.activate("quarantine")
    assert terminal("activate", "--into", "other") == 0
    assert "SES does not read other: quarantine is active" in terminal.warned


@pytest.mark.parametrize(
    "recipients",
    [
        pytest.param([], id="everybody"),
        pytest.param(["reports.example.com"], id="our domain"),
        pytest.param([".example.com"], id="all sub-domains"),
        pytest.param(["Manual-Report-Request@reports.example.com"], id="the trigger"),
    ],
)
def test_no_rule_is_added_where_it_is_not_reached(
    open_account: Account, terminal: Terminal, recipients: list[str]
) -> None:
    open_account.add("first", HEADER)
    open_account.add("second", STOP, recipients=recipients)
    open_account.add("third", HEADER)
    assert terminal("activate", "--into", "other") == 3
    assert "--after 'first'" in terminal.warned
    assert open_account.names == ["first", "second", "third"]
    assert terminal("activate", "--into", "other", "--after", "first") == 0


def test_a_rule_that_is_not_reached_is_not_called_done(open_account: Account, terminal: Terminal) -> None:
    terminal("activate", "--into", "other")
    rule: Any = {"Name": "late", "Enabled": True, "Actions": [STOP]}
    open_account.ses.create_receipt_rule(RuleSetName="other", Rule=rule)
    assert terminal("activate", "--into", "other") == 3
    assert "late stops before it" in terminal.warned


def test_a_rule_that_does_not_serve_is_not_called_done(open_account: Account, terminal: Terminal) -> None:
    terminal("activate", "--into", "other")
    (rule,) = open_account.rules
    rule["Enabled"] = False
    open_account.ses.update_receipt_rule(RuleSetName="other", Rule=rule)
    assert terminal("activate", "--into", "other") == 3
    assert "it is disabled" in terminal.warned


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        pytest.param(OWN_RULE, 3, id="the stack has a rule of its own"),
        pytest.param(f"{RULE_SETS}/elsewhere:receipt-rule/*", 3, id="in another rule set"),
        pytest.param(f"{RULE_SETS}/other:receipt-rule/*", 0, id="in this rule set"),
        pytest.param(ANY_RULE, 0, id="anywhere"),
    ],
)
def test_only_a_rule_that_may_store_mail_is_added(
    open_account: Account, terminal: Terminal, arn: str, code: int
) -> None:
    open_account.outputs["ReceiptRuleArn"] = arn
    assert terminal("activate", "--into", "other") == code
    assert open_account.names == ([] if code else ["quarantine"])
    if code:
        assert "ReceiptRuleSetName=other" in terminal.warned
        assert "CreateReceiptRule=false" in terminal.warned


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--into", "nowhere"), "Rule set does not exist: nowhere", id="no rule set"),
        pytest.param(("--into", "other", "--after", "none"), "other has no rule none", id="no rule"),
    ],
)
def test_what_is_not_there_is_an_error(
    open_account: Account, terminal: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    assert terminal("activate", *arguments) == 1
    assert said in terminal.warned
    assert open_account.names == []


def _close(account: Account, rule_set: str) -> None:
    """Deploy again with CreateReceiptRule=false and a rule set."""
    account.leave_rule()
    account.parameters["ReceiptRuleSetName"] = rule_set
    account.outputs["ReceiptRuleArn"] = f"{RULE_SETS}/{rule_set}:receipt-rule/*"


def _leave_nothing(account: Account) -> None:
    account.leave_rule()
    account.ses.delete_receipt_rule_set(RuleSetName="quarantine")


def _stop_all_in_the_second_place(account: Account) -> None:
    account.leave_rule()
    account.activate("other")
    account.add("first", HEADER)
    account.add("second", STOP)


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda _: None, id="nothing is active"),
        pytest.param(_leave_nothing, id="nothing is active, and the stack has no rule"),
        pytest.param(lambda account: _close(account, "other"), id="a given rule set is not active"),
        pytest.param(
            lambda account: (account.leave_rule(), account.activate("other")), id="the rule is missing"
        ),
        pytest.param(_stop_all_in_the_second_place, id="a rule stops before the end"),
    ],
)
def test_the_step_that_doctor_names_is_not_refused(
    account: Account, terminal: Terminal, prepare: Callable[[Account], object]
) -> None:
    prepare(account)
    faults = [found for check in (rule_set, rule) if (found := check(Site(terminal.operator))).step]
    assert faults
    for command in faults[0].step.split(" && "):
        program, *arguments = shlex.split(command)
        if program == "quarantine":
            assert terminal(*arguments) == 0, terminal.warned
        else:
            assert arguments[0] == "ses"
            name, (option, value) = arguments[1].replace("-", "_"), arguments[2:]
            assert option == "--rule-set-name"
            getattr(account.ses, name)(RuleSetName=value)
    site = Site(terminal.operator)
    assert rule_set(site).verdict is Health.OK
    if account.parameters.get("CreateReceiptRule") == "false":
        assert rule(site).verdict is Health.OK


def test_the_step_is_never_a_command_that_would_be_declined(account: Account, terminal: Terminal) -> None:
    """Another rule set is active: activate would replace it, and the stack refuses a rule in it."""
    account.activate("other")
    for check in (rule_set, rule):
        step = check(Site(terminal.operator)).step
        assert "ReceiptRuleSetName=other" in step
        assert "quarantine activate" not in step
