"""The checks of `quarantine doctor`: one function per check, from the answers of AWS and DNS to a finding."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ops import administrators, deployment
from ops.activate import IntakeRoute, allowed, waits
from ops.operator import OperatorError
from ops.redrive import DEAD_LETTERS, queues_of
from ops.site import Check, CheckResult, Health, Site, Unresolved

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef
    from mypy_boto3_sesv2.type_defs import GetEmailIdentityResponseTypeDef
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient


def examine(site: Site) -> Mapping[Check, CheckResult]:
    """Run each check. A check that cannot run is unknown, and does not affect the others."""
    return {check: _finding(site, check) for check in Check}


def _finding(site: Site, check: Check) -> CheckResult:
    try:
        return CHECKS[check](site)
    except ClientError as e:
        error = e.response["Error"]
        code, message = error.get("Code", "error"), shorten(error.get("Message", ""), 200)
        step = "try again later" if "Denied" not in code else f"get permission for {e.operation_name}"
        return CheckResult(Health.UNKNOWN, f"{code}: {message}", step)
    except BotoCoreError as e:
        return CheckResult(Health.UNKNOWN, f"{type(e).__name__}: {e}", "check the network and --endpoint-url")
    except Unresolved as e:
        return CheckResult(Health.UNKNOWN, str(e), "try again from a computer that can use DNS")
    except OperatorError as e:
        return CheckResult(Health.UNKNOWN, str(e), "deploy the stack, then try again")


# "Email receiving endpoints" of the AWS General Reference, https://docs.aws.amazon.com/general/latest/gr/ses.html.
# AWS adds regions, so for a region that is not listed here, DNS is asked.
RECEIVING_REGIONS = {
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "us-east-1",
    "us-east-2",
    "us-west-2",
}


def region(site: Site) -> CheckResult:
    name = site.operator.session.region_name
    if name in RECEIVING_REGIONS:
        return CheckResult(Health.OK, f"SES receives mail in {name}")
    if site.resolve(f"inbound-smtp.{name}.amazonaws.com", "A"):
        return CheckResult(Health.OK, f"SES has an inbound endpoint in {name}")
    step = f"deploy in a region that receives mail, such as {', '.join(sorted(RECEIVING_REGIONS)[-3:])}"
    return CheckResult(Health.FAULT, f"SES does not receive mail in {name}", step)


def domain(site: Site) -> CheckResult:
    name = site.operator.parameter("ReportsDomain")
    labels = name.split(".")
    # SES receives for a verified domain and for its sub-domains.
    for candidate in (".".join(labels[place:]) for place in range(len(labels) - 1)):
        if site.is_verified(candidate):
            return CheckResult(Health.OK, f"{candidate} is verified")
    seen = f"{name} is not verified, so SES does not receive its mail"
    return CheckResult(Health.FAULT, seen, _verify(site, name))


def mx(site: Site) -> CheckResult:
    name = site.operator.parameter("ReportsDomain")
    record = site.operator.name("MxRecord")
    endpoint = record.split()[-1]
    hosts = [text.split()[-1].rstrip(".").lower() for text in site.resolve(name, "MX")]
    others = ", ".join(host for host in hosts if host != endpoint)
    step = f"publish for {name}, in its DNS zone: MX {record}"
    if not hosts:
        return CheckResult(Health.FAULT, f"{name} has no MX record", step)
    if endpoint not in hosts:
        return CheckResult(Health.FAULT, f"the MX record of {name} is {others}", step)
    if others:
        seen = f"{name} also has the MX record {others}: requests that go there are lost"
        return CheckResult(Health.WARNING, seen, f"remove {others}")
    return CheckResult(Health.OK, f"the mail of {name} goes to {endpoint}")


def rule_set(site: Site) -> CheckResult:
    active = site.active_name
    if active is None:
        return CheckResult(Health.FAULT, "no rule set is active: SES refuses all mail", _activate(site))
    if site.operator.parameter("CreateReceiptRule") == "false":  # the operator's own rule may be in any set
        return CheckResult(Health.OK, f"{active} is active")
    ours = site.operator.name("ReceiptRuleSetName")
    if active == ours:
        return CheckResult(Health.OK, f"{active} is active, and is the stack's")
    return CheckResult(Health.FAULT, f"{active} is active, the stack's rule is in {ours}", _activate(site))


def _activate(site: Site) -> str:
    """Return how to make SES read the stack's rule, by commands that are not refused in this state."""
    operator, active = site.operator, site.active_name
    if active is None:
        if operator.parameter("CreateReceiptRule") != "false":
            return "quarantine activate"
        ours = operator.parameter("ReceiptRuleSetName") or operator.stack_name
        create = (
            ""
            if operator.parameter("ReceiptRuleSetName")
            else f"aws ses create-receipt-rule-set {_named(ours)} && "
        )
        return (
            f"{create}quarantine activate --into {ours} && aws ses set-active-receipt-rule-set {_named(ours)}"
        )
    if not allowed(operator, active, operator.stack_name):
        return f"deploy with ReceiptRuleSetName={active}, which puts the rule first in {active}"
    after = IntakeRoute.of(operator).last_place(site.active.get("Rules", []))
    return f"quarantine activate --into {active}" + (
        "" if after is None else f" --after {shlex.quote(after)}"
    )


def _named(rule_set: str) -> str:
    return f"--rule-set-name {rule_set}"


def rule(site: Site) -> CheckResult:
    intake = IntakeRoute.of(site.operator)
    active, rules = site.active_name, site.active.get("Rules", [])
    place = intake.place_of_rule(rules)
    if active is None or place is None:
        seen = f"no active rule brings mail for {intake.domain} to intake"
        return CheckResult(Health.FAULT, seen, _activate(site))
    ours, before = rules[place], rules[:place]
    if stopper := intake.stopper(before):
        seen = f"the rule {stopper} stops mail for {intake.domain} before {ours['Name']} is read"
        return CheckResult(Health.FAULT, seen, f"move {ours['Name']} before {stopper} in {active}")
    if faults := list(intake.faults_of(ours)):
        seen = f"the rule {ours['Name']} does not work: {', '.join(faults)}"
        return CheckResult(Health.FAULT, seen, f"correct {ours['Name']} in {active}, or deploy again")
    if not allowed(site.operator, active, ours["Name"]):
        seen = f"the mail bucket and intake refuse the rule {ours['Name']} of {active}"
        step = f"deploy with ReceiptRuleSetName={active}, or with CreateReceiptRule=false"
        return CheckResult(Health.FAULT, seen, step)
    doubts = list(intake.doubts_of(ours)) + [
        f"the earlier rule {each['Name']} waits for a function, which can stop the mail"
        for each in before
        if each.get("Enabled") and intake.in_recipients(each) and any(map(waits, each.get("Actions", [])))
    ]
    if doubts:
        seen = f"the rule {ours['Name']} works, but {', '.join(doubts)}"
        return CheckResult(Health.WARNING, seen, f"check the rules of {active}")
    return CheckResult(Health.OK, f"{ours['Name']} brings mail for {intake.domain} to intake")


def sender(site: Site) -> CheckResult:
    address, own_domain = _sender(site)
    for parameter in ("ReportSender", "ReplyTo"):
        text = site.operator.parameter(parameter)
        if _local_part(text) == site.operator.parameter("Trigger"):
            step = f"set {parameter} to another address: until then the functions do not start"
            seen = f"{text} is the trigger: an answer to a report would ask for another"
            return CheckResult(Health.FAULT, seen, step)
    # Not the domain above it, though SES would: the report function may send in the name of these two.
    for name in (address, own_domain):
        if site.is_verified(name):
            return CheckResult(Health.OK, f"{name} is verified")
    known = site.identity(address) or site.identity(own_domain)
    status = known.get("VerificationStatus", "PENDING") if known else "not known to SES"
    seen = f"{address} is not verified for sending ({status})"
    return CheckResult(Health.FAULT, seen, _verify(site, own_domain))


def _local_part(address: str) -> str:
    return address.partition("@")[0].partition("+")[0].lower()


def dkim(site: Site) -> CheckResult:
    address, own_domain = _sender(site)
    states = {}
    for name in (address, own_domain):
        if identity := site.identity(name):
            attributes = identity.get("DkimAttributes", {})
            states[name] = attributes.get("Status", "NOT_STARTED")
            if states[name] == "SUCCESS" and attributes.get("SigningEnabled"):
                return _published(site, name if "@" not in name else own_domain, identity)
    step = f"publish the DKIM records that this shows: {_show(own_domain)}"
    seen = ", ".join(f"{state} of {name}" for name, state in states.items()) or f"none for {own_domain}"
    if "SUCCESS" in states.values():
        seen = f"the key is published, but signing is disabled for {own_domain}"
        known = next(name for name, state in states.items() if state == "SUCCESS")
        step = f"aws sesv2 put-email-identity-dkim-attributes --email-identity {known} --signing-enabled"
    elif not states:
        step = _verify(site, own_domain)
    return CheckResult(Health.FAULT, f"{seen}: reports look forged", step)


def _published(site: Site, name: str, identity: "GetEmailIdentityResponseTypeDef") -> CheckResult:
    """Ask DNS itself: SES notices only after days that a key is gone, and readers at once."""
    attributes = identity.get("DkimAttributes", {})
    if attributes.get("SigningAttributesOrigin", "AWS_SES") == "EXTERNAL":
        return CheckResult(Health.OK, f"SES signs for {name} with a key of yours")
    zone = attributes.get("SigningHostedZone", "dkim.amazonses.com")
    records = {f"{token}._domainkey.{name}": f"{token}.{zone}" for token in attributes.get("Tokens", [])}
    missing = [
        f"{host} CNAME {target}"
        for host, target in records.items()
        if target.lower() not in (text.rstrip(".").lower() for text in site.resolve(host, "CNAME"))
    ]
    if missing:
        verdict = Health.FAULT if len(missing) == len(records) else Health.WARNING
        seen = f"{len(missing)} of {len(records)} DKIM keys of {name} are not in the DNS: reports look forged"
        return CheckResult(verdict, seen, f"publish: {', '.join(missing)}")
    return CheckResult(Health.OK, f"SES signs for {name}")


def mail_from(site: Site) -> CheckResult:
    name = site.operator.parameter("MailFromDomain")
    if not name:
        return CheckResult(Health.OK, "SES uses a MAIL FROM domain of its own")
    record = site.operator.name("MailFromMxRecord")
    endpoint = record.split()[-1]
    hosts = [text.split()[-1].rstrip(".").lower() for text in site.resolve(name, "MX")]
    if hosts != [endpoint]:
        seen = f"the MX record of {name} is {', '.join(hosts) or 'missing'}: SES uses a domain of its own"
        return CheckResult(Health.WARNING, seen, f"publish for {name}, as its only MX: {record}")
    return CheckResult(Health.OK, f"bounces to {name} come back to SES")


def sandbox(site: Site) -> CheckResult:
    if site.account["ProductionAccessEnabled"]:
        return CheckResult(Health.OK, "SES sends to every address")
    seen = "the account is in the sandbox: SES sends only to verified addresses"
    return CheckResult(Health.FAULT, seen, "request production access in the SES console, in this region")


def sending(site: Site) -> CheckResult:
    status, enabled = site.account.get("EnforcementStatus", "HEALTHY"), site.account["SendingEnabled"]
    if status == "SHUTDOWN":
        return CheckResult(
            Health.FAULT, "SES has paused this account (SHUTDOWN)", "answer the AWS support case about it"
        )
    if not enabled:
        step = "aws sesv2 put-account-sending-attributes --sending-enabled"
        return CheckResult(Health.FAULT, "sending is disabled for this account", step)
    if status != "HEALTHY":
        return CheckResult(
            Health.WARNING, f"SES has this account under review ({status})", "answer the AWS support case"
        )
    return CheckResult(Health.OK, "SES sends for this account")


_FEW = 0.1  # of a day's quota: enough for the requests of a morning


def quota(site: Site) -> CheckResult:
    most, sent = site.account["SendQuota"]["Max24HourSend"], site.account["SendQuota"]["SentLast24Hours"]
    if most == -1:
        return CheckResult(Health.OK, "no limit")
    left = max(most - sent, 0)
    seen = f"{left:.0f} of {most:.0f} mails left in these 24 hours"
    step = "request a higher sending quota, or find out what else sends mail"
    if left < 1:
        return CheckResult(Health.FAULT, seen, step)
    return CheckResult(Health.WARNING, seen, step) if left < most * _FEW else CheckResult(Health.OK, seen)


def table(site: Site, output: str) -> CheckResult:
    name, dynamodb = site.operator.name(output), site.operator.dynamodb
    parameter = f"Existing{output.removesuffix('Name')}"
    step = f"restore it under another name, then deploy with {parameter}=NAME (docs/operating.md, Restore)"
    try:
        status = dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]
        if status not in ("ACTIVE", "UPDATING"):
            return CheckResult(Health.FAULT, f"{name} is {status}", step)
        dynamodb.scan(TableName=name, Limit=1)
    except dynamodb.exceptions.ResourceNotFoundException:
        return CheckResult(Health.FAULT, f"there is no table {name}", step)
    if site.operator.parameter(parameter):
        return _attached(site, name, expires=output != "SendersTableName")
    return CheckResult(Health.OK, f"{name} can be read")


def _attached(site: Site, name: str, *, expires: bool) -> CheckResult:
    """Check what a restored table lacks: DynamoDB restores rows and indexes, and not these settings."""
    dynamodb = site.operator.dynamodb
    steps = []
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"].get("TimeToLiveStatus")
    if expires and ttl not in ("ENABLED", "ENABLING"):
        specification = "Enabled=true,AttributeName=expires_at"
        steps.append(
            f"aws dynamodb update-time-to-live --table-name {name}"
            f" --time-to-live-specification {specification}"
        )
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
        specification = "PointInTimeRecoveryEnabled=true"
        steps.append(
            f"aws dynamodb update-continuous-backups --table-name {name}"
            f" --point-in-time-recovery-specification {specification}"
        )
    if steps:
        return CheckResult(Health.WARNING, f"{name} lacks settings of the template", " && ".join(steps))
    return CheckResult(Health.OK, f"{name} can be read")


def permission(site: Site) -> CheckResult:
    records = site.operator.sender_records
    accepting = [record["principal"] for record in records.auth_records() if record.get("accept")]
    if "*" in accepting:
        seen = "the auth record of * lets every domain on the internet ask"
        return CheckResult(Health.WARNING, seen, "name your own domains, then: quarantine auth remove '*'")
    if accepting or next(records.relay_records(), None) is not None:
        return CheckResult(Health.OK, "there is a relay or auth record")
    step = "quarantine relay add DOMAIN NETWORK, or quarantine auth allow DOMAIN -m dmarc"
    return CheckResult(Health.FAULT, "no record allows anybody to ask: every request is refused", step)


def administration(site: Site) -> CheckResult:
    found = administrators.named(site.operator)
    if not found:
        return CheckResult(Health.OK, "there are none, so users can ask nobody")
    unproven = sorted({each for _, each in found if not administrators.proofs(site.operator, each)})
    if unproven:
        seen = f"no record proves {', '.join(unproven)}, so their answers are refused"
        step = f"quarantine auth allow {unproven[0]} -m dmarc, or a relay for the domain"
        return CheckResult(Health.WARNING, seen, step)
    return CheckResult(Health.OK, f"records prove {', '.join(sorted({each for _, each in found}))}")


def failures(site: Site) -> CheckResult:
    sqs: SQSClient = site.operator.client("sqs")
    waiting = {}
    for output in map(DEAD_LETTERS.__getitem__, queues_of(site.operator)):
        attributes = sqs.get_queue_attributes(
            QueueUrl=site.operator.name(output),
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        waiting[output.removesuffix("Url")] = sum(map(int, attributes.values()))
    if not any(waiting.values()):
        return CheckResult(Health.OK, "nothing waits in a dead-letter queue")
    seen = ", ".join(f"{count} in {name}" for name, count in waiting.items() if count)
    return CheckResult(Health.FAULT, seen, "quarantine redrive")


def alarms(site: Site) -> CheckResult:
    names = {
        each["PhysicalResourceId"]
        for each in site.resources
        if each["ResourceType"] == "AWS::CloudWatch::Alarm"
    }
    cloudwatch: CloudWatchClient = site.operator.client("cloudwatch")
    # Without names, CloudWatch would return every alarm of the account.
    found = cloudwatch.describe_alarms(AlarmNames=sorted(names))["MetricAlarms"] if names else []
    ringing = [alarm for alarm in found if alarm["StateValue"] == "ALARM"]
    if ringing:
        seen = "; ".join(f"{each['AlarmName']}: {each.get('AlarmDescription', '')}" for each in ringing)
        step = "quarantine redrive --dry-run; docs/operating.md says what each alarm means"
        return CheckResult(Health.FAULT, seen, step)
    missing = names - {alarm["AlarmName"] for alarm in found}
    if missing or not names:
        seen = f"there is no alarm {', '.join(sorted(missing))}".rstrip()
        return CheckResult(Health.WARNING, seen, deployment.drift(site))
    return _wired(site, found)


def _wired(site: Site, found: "Iterable[MetricAlarmTypeDef]") -> CheckResult:
    """Check that each alarm notifies a topic, and that a subscriber has confirmed it."""
    found = list(found)
    if off := [alarm["AlarmName"] for alarm in found if not alarm.get("ActionsEnabled")]:
        step = f"aws cloudwatch enable-alarm-actions --alarm-names {' '.join(off)}"
        return CheckResult(Health.WARNING, f"{len(off)} of {len(found)} alarms notify nobody", step)
    topics = {arn for alarm in found for arn in alarm.get("AlarmActions", [])}
    if not topics:
        step = "deploy with AlarmTopicArn set to an SNS topic that notifies somebody"
        return CheckResult(Health.WARNING, "no alarm is active, but nobody would be notified", step)
    sns = site.operator.client("sns")
    for topic in sorted(arn for arn in topics if ":sns:" in arn):
        try:
            attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
        except sns.exceptions.NotFoundException:
            step = f"aws sns create-topic --name {topic.rpartition(':')[2]}, then subscribe to it"
            return CheckResult(Health.WARNING, f"the alarms notify {topic}, and there is no such topic", step)
        if attributes.get("SubscriptionsConfirmed", "0") == "0":
            step = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint ADDRESS"
            seen = f"the alarms notify {topic}, to which nobody has confirmed a subscription"
            return CheckResult(Health.WARNING, seen, step)
    return CheckResult(Health.OK, f"none of {len(found)} is active")


def logs(site: Site) -> CheckResult:
    client = site.operator.client("logs")
    missing = []
    for output in ("IntakeLogGroup", "ReportLogGroup", "HoldLogGroup", "FeedbackLogGroup"):
        name = site.operator.name(output)
        groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        if not any(group["logGroupName"] == name for group in groups):
            missing.append(name)
    if missing:
        seen = f"there is no log group {', '.join(missing)}: decisions are not logged"
        step = " && ".join(f"aws logs create-log-group --log-group-name {name}" for name in missing)
        return CheckResult(Health.FAULT, seen, step)
    return CheckResult(Health.OK, "each function has its own log group")


_SKEW = timedelta(seconds=60)  # harmless: Date has whole seconds, and an answer takes some
_REFUSED_SKEW = timedelta(minutes=5)  # from here on, AWS accepts no signature (RequestTimeTooSkewed)


def clock(site: Site) -> CheckResult:
    sts: STSClient = site.operator.client("sts")
    answer: Any
    try:
        answer = sts.get_caller_identity()
    except ClientError as e:  # a refusal has a Date too, and a wrong clock can cause one
        answer = e.response
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" not in headers:
        return CheckResult(
            Health.UNKNOWN, "AWS's answer has no Date", "compare this computer's clock yourself"
        )
    skew = site.operator.clock() - parsedate_to_datetime(headers["date"])
    where = "behind" if skew < timedelta() else "ahead"
    seen = f"this computer's clock is {abs(skew).total_seconds():.0f} s {where}"
    step = "set this computer's clock by NTP"
    if abs(skew) >= _REFUSED_SKEW:
        return CheckResult(Health.FAULT, seen, step)
    return CheckResult(Health.WARNING, seen, step) if abs(skew) >= _SKEW else CheckResult(Health.OK, seen)


def _sender(site: Site) -> tuple[str, str]:
    address = site.operator.parameter("ReportSender")
    return address, address.rpartition("@")[2]


def _verify(site: Site, name: str) -> str:
    if site.identity(name):  # SES refuses to create it again
        return f"publish the DKIM records that this shows: {_show(name)}"
    return (
        f"aws sesv2 create-email-identity --email-identity {name}, then publish the DKIM records it returns"
    )


def _show(name: str) -> str:
    return f"aws sesv2 get-email-identity --email-identity {name}"


CHECKS: Mapping[Check, Callable[[Site], CheckResult]] = {
    Check.REGION: region,
    Check.DOMAIN: domain,
    Check.MX: mx,
    Check.RULE_SET: rule_set,
    Check.RULE: rule,
    Check.SENDER: sender,
    Check.DKIM: dkim,
    Check.MAIL_FROM: mail_from,
    Check.SANDBOX: sandbox,
    Check.SENDING: sending,
    Check.QUOTA: quota,
    Check.SENDERS: partial(table, output="SendersTableName"),
    Check.QUARANTINE: partial(table, output="QuarantineTableName"),
    Check.REQUESTS: partial(table, output="RequestsTableName"),
    Check.MAILBOXES: partial(table, output="MailboxesTableName"),
    Check.PERMISSION: permission,
    Check.ADMINISTRATORS: administration,
    Check.VERSION: deployment.version,
    Check.SES_MAY: deployment.ses_may,
    Check.NOTIFICATION: deployment.notification,
    Check.SENT_MAIL: deployment.sent_mail,
    Check.SOURCES: deployment.sources,
    Check.CONCURRENCY: deployment.concurrency,
    Check.THROTTLES: deployment.throttles,
    Check.WAITING: deployment.waiting,
    Check.SCHEDULE: deployment.schedule,
    Check.AGENTS: deployment.agents,
    Check.FAILURES: failures,
    Check.ALARMS: alarms,
    Check.LOGS: logs,
    Check.CLOCK: clock,
}
