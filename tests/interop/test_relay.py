"""The recipe for a relay in docs/releasing.md: act logs in to a port of Postfix without a filter."""

from collections.abc import Iterator

import pytest

from tests.interop.circles import NEEDS_A_NETWORK_OF_ITS_OWN, Circle, running
from tests.interop.programs import FILTERS, PASSWORD
from tests.interop.releases import check_what_arrived, release

pytestmark = NEEDS_A_NETWORK_OF_ITS_OWN
_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:relay"
_PARAMETERS = {"ReleaseBy": "relay", "ReleaseRelay": "127.0.0.1:587", "ReleaseSecretArn": _ARN}


@pytest.fixture(scope="module", params=FILTERS)
def circle(request: pytest.FixtureRequest) -> Iterator[Circle]:
    arguments = [each for pair in _PARAMETERS.items() for each in ("--parameter", "=".join(pair))]
    with running(request, *arguments) as circle:
        secret = f'{{"username": "quarantine", "password": "{PASSWORD}"}}'
        circle.aws.client("secretsmanager").create_secret(Name="relay", SecretString=secret)
        yield circle


def test_a_released_spam_arrives(circle: Circle) -> None:
    letter = release(circle, "relay")
    check_what_arrived(circle, "relay", letter)
