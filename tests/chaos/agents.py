"""Two agents on the queue of releases, which die, and whose pointers come back."""

import json
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import BotoCoreError, ClientError

from ops.deliver.agent import Agent
from quarantine.stores.objects import HeldObjects
from tests.chaos.faults import Chance, Wire, asked
from tests.chaos.holdings import COMPANY
from tests.chaos.mailserver import Moody
from tests.chaos.sources import Agenda
from tests.chaos.stage import Stage
from tests.functions.faults import ProcessDied

_NUMBER = 2
_PAUSE = 5.0  # seconds after an error of AWS, and until systemd starts a dead one again


@dataclass(slots=True)
class Agents:
    """The agents, and the queue's visibility timeout, which only the driver's clock ends.

    moto really waits for it, so the driver makes a message visible when its time has come.
    """

    stage: Stage
    wire: Wire
    chance: Chance
    agenda: Agenda
    target: Moody
    deaths: int = 0
    _idle: list[Agent] = field(init=False)
    _visibility: int = field(init=False)
    _ids: dict[str, str] = field(default_factory=dict)  # by receipt handle
    _due: dict[str, object] = field(default_factory=dict)  # by message id

    def __post_init__(self) -> None:
        sqs = self.stage.session.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["VisibilityTimeout"])
        self._visibility = int(found["Attributes"]["VisibilityTimeout"])
        self._idle = [self._new() for _ in range(_NUMBER)]

    @property
    def _url(self) -> str:
        return self.stage.stack.environ["RELEASES_QUEUE_URL"]

    def _new(self) -> Agent:
        environ, session = self.stage.stack.environ, self.wire.session
        return Agent(
            sqs=session.client("sqs"),
            mails=HeldObjects(session.client("s3"), environ["MAIL_BUCKET"]),
            bucket=environ["MAIL_BUCKET"],
            releases_url=self._url,
            results_url=environ["RESULTS_QUEUE_URL"],
            domains=frozenset({COMPANY}),
            target=self.target,  # type: ignore[arg-type]  # it is one
            wait=0,
            clock=self.chance.process_clock,
            say=lambda _: None,
        )

    def wake(self, after: float = 2) -> None:
        """Let an agent poll soon."""
        self.agenda.after(self.chance.rng.uniform(0, after), self._poll)

    def _poll(self) -> None:
        if not self._idle:  # both are busy: this call interleaves with theirs
            self.agenda.after(_PAUSE, self._poll)
            return
        agent = self._idle.pop()
        try:
            with self.wire.invocation():
                came = agent.serve_next()
        except ProcessDied:
            self.deaths += 1
            agent = self._new()
            self.agenda.after(_PAUSE, self._poll)
        except (BotoCoreError, ClientError):
            self.agenda.after(_PAUSE, self._poll)
        else:
            if came:
                self.wake()
        self._idle.append(agent)

    def answered(self, operation: str, request: AWSPreparedRequest, answer: AWSResponse) -> None:
        """See who took a pointer, and until when nobody else sees it."""
        given = asked(request) if operation in {"ReceiveMessage", "ChangeMessageVisibility"} else {}
        if given.get("QueueUrl") != self._url:
            return
        if operation == "ReceiveMessage":
            found: dict[str, Any] = json.loads(answer.content)
            for message in found.get("Messages") or ():
                self._ids[message["ReceiptHandle"]] = message["MessageId"]
                self._show_after(message["ReceiptHandle"], self._visibility)
        else:
            self._show_after(given["ReceiptHandle"], given["VisibilityTimeout"])

    def _show_after(self, handle: str, seconds: float) -> None:
        message_id, mark = self._ids[handle], object()
        self._due[message_id] = mark

        def show() -> None:
            if self._due[message_id] is mark:
                try:
                    self.stage.session.client("sqs").change_message_visibility(
                        QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0
                    )
                except ClientError:  # deleted meanwhile
                    return
                self.wake()

        self.agenda.after(seconds, show)
