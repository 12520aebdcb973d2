"""What a resource policy lets a service do."""

from typing import Any

import pytest

from ops.policies import Caller, admits

RULE = "arn:aws:ses:us-east-1:123456789012:receipt-rule-set/set:receipt-rule/rule"
SES = Caller("ses.amazonaws.com", "123456789012", RULE)
BUCKET = "arn:aws:s3:::mail"


def statement(**changed: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "ses.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{BUCKET}/inbound/*",
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({}, True, id="no condition"),
        pytest.param({"Effect": "Deny"}, False, id="a denial"),
        pytest.param({"Principal": {"Service": ["s3.amazonaws.com", SES.service]}}, True, id="a list"),
        pytest.param({"Principal": "*"}, True, id="everybody"),
        pytest.param({"Principal": {"Service": "s3.amazonaws.com"}}, False, id="another service"),
        pytest.param({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False, id="an account"),
        pytest.param({"Action": ["s3:getobject", "S3:Put*"]}, True, id="actions without case"),
        pytest.param({"Action": "s3:GetObject"}, False, id="another action"),
        pytest.param({"Resource": f"{BUCKET}/held/*"}, False, id="another prefix"),
        pytest.param({"Resource": f"{BUCKET}/[i]nbound/*"}, False, id="no class of characters"),
        pytest.param({"Condition": {"StringEquals": {"aws:sourceAccount": SES.account}}}, True, id="account"),
        pytest.param({"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}, False, id="no account"),
        pytest.param(
            {"Condition": {"ArnLike": {"aws:SourceArn": RULE.replace("rule/", "*/")}}}, True, id="*"
        ),
        pytest.param({"Condition": {"ArnLike": {"aws:SourceArn": f"{RULE}2"}}}, False, id="another rule"),
        pytest.param({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False, id="not on the source"),
        pytest.param(
            {
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": SES.account},
                    "ArnLike": {"aws:SourceArn": f"{RULE}2"},
                }
            },
            False,
            id="one of two conditions",
        ),
    ],
)
def test_a_statement_admits_a_service(changed: dict[str, Any], expected: bool) -> None:
    policy = {"Statement": [statement(Effect="Deny"), statement(**changed)]}
    assert admits(policy, SES, "s3:PutObject", f"{BUCKET}/inbound/x") is expected


@pytest.mark.parametrize(
    "policy",
    [pytest.param({}, id="none"), pytest.param({"Statement": []}, id="an empty one")],
)
def test_no_policy_admits_nobody(policy: dict[str, Any]) -> None:
    assert not admits(policy, SES, "s3:PutObject", f"{BUCKET}/inbound/x")


def test_a_single_statement_may_stand_without_a_list() -> None:
    assert admits({"Statement": statement()}, SES, "s3:PutObject", f"{BUCKET}/inbound/x")
