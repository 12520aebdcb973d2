"""What the local run does when intake fails."""

import json
from typing import Any

import pytest

from local.pipeline import Pipeline
from local.ses import GRAY, Delivery
from tests.local.serving import TRIGGER, eventually
from tests.world import World, new_session

LARGE = b"".join(b"X-Padding: " + 900 * b"x" + b"\r\n" for _ in range(20))


def test_an_event_that_intake_fails_on_goes_to_the_failures_after_three_attempts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[str] = []
    session = new_session()
    session.events.register_first(
        "before-send.s3.GetObject", lambda event_name, **_: attempts.append(event_name)
    )
    pipeline = Pipeline(session, world.stack, GRAY)
    delivery = Delivery(
        peer="192.0.2.10",
        helo="mail.example.com",
        envelope_from="bob@example.com",
        recipients=(TRIGGER,),
        data=LARGE + b"From: bob@example.com\r\n\r\nbody\r\n",
    )
    message_id = pipeline.accept(delivery)
    world.session.client("s3").delete_object(
        Bucket=world.stack.environ["MAIL_BUCKET"], Key=f"inbound/{message_id}"
    )
    pipeline.start()
    try:
        sqs = world.session.client("sqs")
        (failure,) = eventually(
            lambda: sqs.receive_message(QueueUrl=world.stack.intake_failures_url).get("Messages"),
            "a failure of intake",
        ) or [{}]
    finally:
        pipeline.stop()
    body: dict[str, Any] = json.loads(failure["Body"])
    assert body["requestPayload"]["Records"][0]["ses"]["mail"]["messageId"] == message_id
    assert "NoSuchKey" in body["responsePayload"]["errorMessage"]
    assert len(attempts) == 3
    assert world.row(message_id) == {}
    logged = [record.message for record in caplog.records if record.name == "local.pipeline"]
    assert [message.splitlines()[0] for message in logged] == ["intake failed"] * 3
    assert all("NoSuchKey" in message for message in logged)
