"""What the functions send: jobs and dead letters to SQS, mail to SES."""

from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, TypedDict, assert_never

from botocore.exceptions import ClientError

from quarantine.feedback.tags import MailKind, tags_of
from quarantine.holding.judging import RejectedObject
from quarantine.jobs import ActionJob, BounceJob, Job, ReportJob, to_json
from quarantine.mail.addresses import Address

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

# The errors of SendEmail after which SES will never accept the same mail. Every other error is temporary:
# throttling, a paused account, an exhausted quota, the network, a setting that an operator can fix.
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors
_FINAL = frozenset(
    {
        "BadRequestException",  # SES does not accept the mail or its addresses
        "MailFromDomainNotVerifiedException",  # the sender's MAIL FROM domain is not set up
        "MessageRejected",  # its content was refused, or an address is unverified or suppressed
    }
)


_LONGEST_DELAY = timedelta(seconds=900)  # of SQS


class _Options(TypedDict, total=False):
    ConfigurationSetName: str


_JOBS_OF_A_CALL = 10  # of SQS


class NotQueued(RuntimeError):
    """SQS did not take all jobs: queue them again."""


class SendRefused(RuntimeError):
    """SES will never accept this mail; the message is SES's error."""


class Jobs:
    """The queues of accepted requests: of reports, of actions, and of delivery reports for feedback."""

    def __init__(
        self, client: "SQSClient", reports_url: str, actions_url: str, feedback_url: str = ""
    ) -> None:
        self._client = client
        self._reports_url, self._actions_url, self._feedback_url = reports_url, actions_url, feedback_url

    def put(self, job: Job, group: str) -> None:
        """Queue a job. group: whose it is; SQS then lets no group wait long behind another (fair queues)."""
        self._client.send_message(
            QueueUrl=self._url(job),
            MessageBody=to_json(job),
            MessageGroupId=_hashed(group),
        )

    def put_all(self, jobs: Sequence[tuple[Job, str]]) -> None:
        """Queue jobs of one queue, each with its group, ten with a call. Raises NotQueued."""
        for start in range(0, len(jobs), _JOBS_OF_A_CALL):
            batch = jobs[start : start + _JOBS_OF_A_CALL]
            response = self._client.send_message_batch(
                QueueUrl=self._url(batch[0][0]),
                Entries=[
                    {"Id": str(place), "MessageBody": to_json(job), "MessageGroupId": _hashed(group)}
                    for place, (job, group) in enumerate(batch)
                ],
            )
            if failed := response.get("Failed"):
                raise NotQueued(f"{len(failed)} of {len(batch)}: {failed[0]['Code']}")

    def _url(self, job: Job) -> str:
        match job:
            case ReportJob():
                return self._reports_url
            case ActionJob():
                return self._actions_url
            case BounceJob():
                return self._feedback_url
            case _:
                assert_never(job)


def _hashed(group: str) -> str:
    """Return a group of at most 128 characters that puts nobody's name into the queue's metrics."""
    return sha256(group.encode()).hexdigest()[:32]


def is_final(error: ClientError) -> bool:
    """Return whether AWS has refused a call, and would refuse it again: botocore has not tried it again."""
    answer = error.response["ResponseMetadata"]
    return answer["HTTPStatusCode"] < HTTPStatus.INTERNAL_SERVER_ERROR and not answer.get(
        "MaxAttemptsReached"
    )


class Agents:
    """The queue of messages that agents deliver (FIFO), and act's own, by which it looks what became of them.

    The messages of a mailbox are delivered one after the other.
    """

    def __init__(self, client: "SQSClient", releases_url: str, actions_url: str) -> None:
        self._client, self._releases_url, self._actions_url = client, releases_url, actions_url

    def point(self, pointer: str, mailbox: Address, request_id: str) -> None:
        """Queue a pointer, as JSON. SQS drops a second one of the same request within five minutes."""
        self._client.send_message(
            QueueUrl=self._releases_url,
            MessageBody=pointer,
            MessageGroupId=_hashed(str(mailbox)),
            MessageDeduplicationId=request_id,
        )

    def forget(self, receipt: str) -> None:
        """Delete a pointer that an agent took, unless the handle of its receipt is not valid any more.

        Raises temporary errors: another agent would follow the pointer.
        """
        try:
            self._client.delete_message(QueueUrl=self._releases_url, ReceiptHandle=receipt)
        except ClientError as e:
            if not is_final(e):
                raise

    def look_again(self, request_id: str, delay: timedelta) -> None:
        """Let act serve a request again after a delay, at most a quarter of an hour."""
        self._client.send_message(
            QueueUrl=self._actions_url,
            MessageBody=to_json(ActionJob(request_id)),
            DelaySeconds=int(min(delay, _LONGEST_DELAY).total_seconds()),
            MessageGroupId=_hashed(request_id),
        )


class DeadLetters:
    """The queue of objects under held/ for which rows are missing, each with the reason."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, body: str, rejected: RejectedObject) -> None:
        """Keep a notification, to redrive it when the cause is fixed.

        The attributes `rejection` and `detail` say why; a message that SQS itself moves here has neither.
        """
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=body,
            MessageAttributes={
                name: {
                    "DataType": "String",
                    "StringValue": value.encode("ascii", "backslashreplace").decode(),
                }
                for name, value in (("rejection", rejected.reason.value), ("detail", rejected.detail))
            },
        )


class Mailer:
    """Sends mail through SES. configuration_set: the one whose events say what becomes of a mail."""

    def __init__(self, client: "SESV2Client", configuration_set: str | None = None) -> None:
        self._client = client
        self._options: _Options = {"ConfigurationSetName": configuration_set} if configuration_set else {}

    def send(
        self, message: EmailMessage, *, sender: Address, to: Address, request_id: str, kind: MailKind
    ) -> str:
        """Send a mail to one address and return the SES message id.

        request_id, kind: whose mail this is, and which; SES's events about the mail repeat both.
        Raises SendRefused if a retry is useless; any other error of botocore is temporary.
        """
        try:
            response = self._client.send_email(
                FromEmailAddress=str(sender),
                Destination={"ToAddresses": [str(to)]},  # the envelope recipient, regardless of the header
                Content={"Raw": {"Data": message.as_bytes(policy=SMTP)}},
                EmailTags=[
                    {"Name": name, "Value": value} for name, value in tags_of(request_id, kind).items()
                ],
                **self._options,
            )
        except ClientError as e:
            error = e.response["Error"]
            if error["Code"] in _FINAL:
                raise SendRefused(f"{error['Code']}: {error.get('Message', '')}") from e
            raise
        return response["MessageId"]
