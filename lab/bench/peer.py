"""A quarantine notice made in mailcow's way, to compare ours with: same rows, same shape of a mail.

mailcow compiles a template for each mail in a sandboxed Jinja2, makes the plain text of the HTML with
html2text, joins both as MIMEText in base64, and gives it to smtplib as a string. The template is our own, of
the shape of theirs: a row has subject, sender, score, action, date and two links. html2text is not a
dependency of the project: `make bench` brings it.
"""

import re
from collections.abc import Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, make_msgid
from hashlib import sha256

import html2text  # type: ignore[import-not-found,unused-ignore]
from jinja2.sandbox import SandboxedEnvironment

from quarantine.held import HeldMessage

_TEMPLATE = """\
<html>
<head>
<style>
body { font-family: Helvetica, Arial, sans-serif }
table { width: 100%; border-collapse: collapse }
td, th { padding: 6px; text-align: left; vertical-align: top }
tr:nth-child(even) { background: #eeeeee }
</style>
</head>
<body>
<p>{{ messages|length }} messages are held for {{ mailbox }}.</p>
<table>
<tr><th>Subject</th><th>Sender</th><th>Score</th><th>Action</th><th>Date</th><th>Choose</th></tr>
{% for message in messages %}
<tr>
<td>{{ message.subject|e }}</td>
<td>{{ message.sender|e }}</td>
<td class="narrow">{{ message.score }}</td>
{% if message.action == "reject" %}
<td class="narrow">Rejected</td>
{% else %}
<td class="narrow">Sent to junk</td>
{% endif %}
<td class="narrow">{{ message.date }}</td>
<td class="choice"><a href="https://{{ host }}/held/release?id={{ message.id }}">release</a>
| <a href="https://{{ host }}/held/delete?id={{ message.id }}">delete</a></td>
</tr>
{% endfor %}
</table>
</body>
</html>
"""


def notice(messages: Sequence[HeldMessage]) -> bytes:
    """Return a mail that lists the messages, as it goes on the wire."""
    rows = [
        {
            "subject": message.subject,
            "sender": message.sender,
            "score": 12.5,
            "action": "reject",
            "date": message.received_at.strftime("%d/%m/%Y %H:%M:%S"),
            "id": sha256(message.message_id.encode()).hexdigest(),  # a link works for whoever has it
        }
        for message in messages
    ]
    mailbox, received_at = str(messages[0].recipient), messages[0].received_at
    template = SandboxedEnvironment().from_string(_TEMPLATE)
    html = template.render(messages=rows, mailbox=mailbox, host="mail.example.com")
    mail = MIMEMultipart("alternative")
    mail["From"] = "quarantine@example.com"
    mail["To"] = mailbox
    mail["Subject"] = "Held messages"
    mail["Date"] = format_datetime(received_at)
    mail["Message-ID"] = make_msgid(domain="example.com")
    mail.attach(MIMEText(html2text.html2text(html), "plain", "utf-8"))
    mail.attach(MIMEText(html, "html", "utf-8"))
    return re.sub(r"\r?\n", "\r\n", mail.as_string()).encode()  # as smtplib does it
