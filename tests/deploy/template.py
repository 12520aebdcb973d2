"""template.yaml as CloudFormation reads it: SAM's transform first, then parameters and conditions."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

from local.stack import load_template

type Json = Any
"""A part of a template: the tests check its shape."""

TEMPLATE: dict[str, Json] = load_template()

GIVEN = {"ReportsDomain": "reports.example.com", "ReportSender": "quarantine@send.example.com"}
DEFAULTS = {name: str(it["Default"]) for name, it in TEMPLATE["Parameters"].items() if "Default" in it}
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "quarantine-report",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = "${AWS::NoValue}"  # CloudFormation leaves out a property or an element that is this
SES = "arn:aws:ses:eu-west-1:111122223333"
FUNCTIONS = (
    *("IntakeFunction", "ReportFunction", "ActFunction"),
    *("HoldFunction", "FeedbackFunction", "DigestFunction"),
)


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
            found = {key: resolve(part, given) for key, part in value.items()}
            return {key: part for key, part in found.items() if part != NO_VALUE}
        case list():
            return [part for part in (resolve(part, given) for part in value) if part != NO_VALUE]
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


def of_type(kind: str) -> tuple[str, ...]:
    """The logical ids of a kind of resource, such as AWS::SQS::Queue."""
    return tuple(name for name, resource in STACK.items() if resource["Type"] == kind)


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


def sources() -> dict[str, str]:
    """The queues from which functions are invoked, each with its function, by logical id."""
    return {
        it["EventSourceArn"].removeprefix("${").removesuffix(".Arn}"): it["FunctionName"][2:-1]
        for it in map(properties, of_type("AWS::Lambda::EventSourceMapping"))
    }


def _failures() -> frozenset[str]:
    dead_letters = [properties(queue)["RedrivePolicy"]["deadLetterTargetArn"] for queue in sources()]
    destinations = [
        it["DestinationConfig"]["OnFailure"]["Destination"]
        for it in map(properties, of_type("AWS::Lambda::EventInvokeConfig"))
    ]
    return frozenset(arn.removeprefix("${").removesuffix(".Arn}") for arn in (*dead_letters, *destinations))


FAILURES = _failures()
"""The queues in which failed work waits, by logical id."""
