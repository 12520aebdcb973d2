"""Whether a resource policy lets a service act for a resource of this account."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that acts for a resource. account, source: IAM's aws:SourceAccount and aws:SourceArn."""

    service: str
    account: str
    source: str


def admits(policy: Mapping[str, Any], caller: Caller, action: str, resource: str) -> bool:
    """Return whether a statement of a policy allows an action.

    A condition that is not on the source is taken as not met. Denials are not considered: the template's only
    denial is of connections without TLS.
    """
    return any(
        statement.get("Effect") == "Allow"
        and _names_service(statement.get("Principal"), caller.service)
        and _matches([each.lower() for each in _as_list(statement.get("Action"))], action.lower())
        and _matches(statement.get("Resource"), resource)
        and _holds(statement.get("Condition", {}), caller)
        for statement in _as_list(policy.get("Statement", []))
    )


def _names_service(principal: Any, service: str) -> bool:
    match principal:
        case "*" | {"AWS": "*"}:
            return True
        case {"Service": named}:
            return service in _as_list(named)
        case _:
            return False


def _holds(condition: Mapping[str, Mapping[str, Any]], caller: Caller) -> bool:
    known = {"aws:sourceaccount": caller.account, "aws:sourcearn": caller.source}
    return all(
        operator in _OPERATORS and key.lower() in known and _matches(wanted, known[key.lower()])
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    )


# Equality too: no account and no ARN has a * or a ?.
_OPERATORS = frozenset({"StringEquals", "StringLike", "ArnEquals", "ArnLike"})


def _matches(patterns: Any, text: str) -> bool:
    # Like IAM, only * and ?: a [ would begin a class.
    return any(fnmatchcase(text, each.replace("[", "[[]")) for each in _as_list(patterns))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
