"""The stack's tables, queues and bucket, created from template.yaml by moto's CloudFormation."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

STACK_NAME = "quarantine"
TEMPLATE = Path(__file__).parent.parent / "template.yaml"
PARAMETERS = {
    "ReportsDomain": "reports.example.com",
    "ReportSender": "quarantine@reports.example.com",
    "DeletionProtection": "false",  # nothing outlives a run
}
FUNCTIONS = (
    "IntakeFunction",
    "ReportFunction",
    "ActFunction",
    "HoldFunction",
    "FeedbackFunction",
    "DigestFunction",
)

# The resources in which the functions keep state. The local run replaces the rest of the template.
_KEPT_TYPES = {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket"}


# libyaml, where PyYAML was built with it: a seventh of the time.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TemplateLoader(_SafeLoader):  # type: ignore[misc,valid-type]
    """YAML with CloudFormation's short forms: `!Ref a` is `{"Ref": "a"}`."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the one kind left
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_TemplateLoader.add_multi_constructor("!", _short_form)


@functools.cache
def load_template() -> dict[str, Any]:
    """Read the template and expand its short forms. All callers share the value."""
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader=_TemplateLoader)  # noqa: S506 - a SafeLoader
    return template


@dataclass(frozen=True, slots=True)
class Stack:
    """environ: the variables of all functions.

    intake_failures_url: the queue of events on which intake failed.
    held_queue_url: the queue of objects for hold. feedback_queue_url: the queue of SES's events.
    results_queue_url: the queue of what agents say; None for a stack without agents.
    """

    environ: Mapping[str, str]
    intake_failures_url: str
    held_queue_url: str
    feedback_queue_url: str
    results_queue_url: str | None = None


def create_stack(session: boto3.Session, parameters: Mapping[str, str] | None = None) -> Stack:
    """Create the resources in which the functions keep state, and resolve the environment in the template.

    parameters: of the template; they override the local run's own.
    """
    template = load_template()
    queues = {name: {"Ref": name} for name in ("IntakeFailures", "HeldQueue", "FeedbackQueue")}
    given = PARAMETERS | dict(parameters or {})
    values = _environment(template) | queues
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK_NAME,
        TemplateBody=json.dumps(_stateful(template, list(values.values()), given)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    resolved = {name: outputs[f"Value{number}"] for number, name in enumerate(values)}
    urls = {name: resolved.pop(name) for name in queues}
    session.client("sesv2").create_email_identity(EmailIdentity=resolved["REPORT_SENDER"])
    _notify(session, template, resolved["MAIL_BUCKET"], urls)
    results = outputs.get("ResultsQueueUrl")
    if results is not None:
        resolved["RESULTS_QUEUE_URL"] = results  # for an agent
    return Stack(resolved, urls["IntakeFailures"], urls["HeldQueue"], urls["FeedbackQueue"], results)


def _notify(
    session: boto3.Session, template: Mapping[str, Any], bucket: str, urls: Mapping[str, str]
) -> None:
    """Set up the bucket's notifications, which moto's CloudFormation ignores."""
    sqs = session.client("sqs")
    given = template["Resources"]["MailBucket"]["Properties"]["NotificationConfiguration"]
    for each in given["QueueConfigurations"]:
        url = urls[each["Queue"]["Fn::GetAtt"][0]]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rules = each["Filter"]["S3Key"]["Rules"]
        session.client("s3").put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": arn,
                        "Events": [each["Event"]],
                        "Filter": {"Key": {"FilterRules": rules}},
                    }
                ]
            },
        )


def _environment(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of all functions, unresolved, without those that name the function."""
    return {
        name: value
        for function in FUNCTIONS
        for name, value in template["Resources"][function]["Properties"]["Environment"]["Variables"].items()
        if not name.startswith("POWERTOOLS_")
    }


def _stateful(template: Mapping[str, Any], values: list[Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the part of a template that keeps state, with an output for each value to resolve."""
    resources = {
        name: {part: resource[part] for part in resource if part != "DependsOn"}
        for name, resource in template["Resources"].items()
        if resource["Type"] in _KEPT_TYPES and _is_made(resource, template, given)
    }
    known = {*resources, *template["Parameters"]}
    outputs = {
        name: output for name, output in template["Outputs"].items() if _names(output["Value"]) <= known
    }
    return {
        "Parameters": template["Parameters"],
        "Conditions": template["Conditions"],
        "Resources": resources,
        "Outputs": outputs | {f"Value{number}": {"Value": value} for number, value in enumerate(values)},
    }


def _is_made(resource: Mapping[str, Any], template: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    """Return whether a resource's condition holds: moto describes one that is not made without its name."""
    match template["Conditions"].get(resource.get("Condition")):
        case {"Fn::Equals": [{"Ref": name}, value]}:
            return bool(given.get(name, template["Parameters"][name].get("Default")) == value)
        case _:
            return True


def _names(value: Any) -> set[str]:
    """Return the parameters and resources that a value names, except CloudFormation's own."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return {name}
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)[.}]", text))
        case dict():
            return set().union(*map(_names, value.values()))
        case list():
            return set().union(*map(_names, value))
        case _:
            return set()
