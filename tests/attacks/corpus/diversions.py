"""Accepted mails that try to send the report, or a part of it, somewhere else; and ordinary ones."""

from tests.attacks.attack import ALL_PASS, BOB, Attack, mail

_RULE = "README: a report goes only to the address in the From field"

_FIELDS = [
    ("reply-to", "Reply-To", "RFC 5322 3.6.2", "Reply-To: eve@evil.example"),
    (
        "reply-to-two",
        "two Reply-To fields",
        "RFC 5322 3.6",
        "Reply-To: eve@evil.example\r\nReply-To: alice@victim.example",
    ),
    ("mail-followup", "Mail-Followup-To", "own", "Mail-Followup-To: eve@evil.example"),
    ("errors-to", "Errors-To", "RFC 2076 3.5", "Errors-To: eve@evil.example"),
    (
        "receipt",
        "Disposition-Notification-To",
        "RFC 8098 2.1",
        "Disposition-Notification-To: eve@evil.example",
    ),
    ("cc", "Cc and Bcc", "RFC 5322 3.6.3", "Cc: eve@evil.example\r\nBcc: alice@victim.example"),
    ("sender", "Sender", "RFC 5322 3.6.2", "Sender: eve@evil.example"),
    (
        "resent",
        "Resent fields",
        "RFC 5322 3.6.6",
        "Resent-From: eve@evil.example\r\nResent-To: alice@victim.example",
    ),
    ("two-to", "a second To field", "RFC 5322 3.6", "To: eve@evil.example"),
    (
        "message-id-injects",
        "a Message-ID with a field in it",
        "CWE-93",
        "Message-ID: <x@y.example>\r\n Bcc: eve@evil.example",
    ),
    (
        "message-id-encoded",
        "a Message-ID with encoded line ends",
        "CWE-93",
        "Message-ID: <=?utf-8?q?x=0D=0ABcc=3A_eve=40evil.example?=@x>",
    ),
    (
        "message-id-two",
        "two Message-ID fields",
        "RFC 5322 3.6",
        "Message-ID: <a@x.example>\r\nMessage-ID: <b@x.example>",
    ),
    (
        "references-long",
        "a References field of many",
        "RFC 5322 3.6.4",
        "References:" + "\r\n <a@x.example>" * 60,
    ),
    (
        "references-injects",
        "a References field with addresses",
        "RFC 5322 3.6.4",
        "References: <a@x>,eve@evil.example",
    ),
    (
        "date-hostile",
        "a Date that cannot be one",
        "RFC 5322 3.3",
        "Date: Mon, 99 Nov 999999 99:99:99 +9999999",
    ),
    (
        "subject-injects",
        "a Subject with an encoded field",
        "CWE-93",
        "Subject: =?utf-8?q?x=0D=0ABcc:_eve=40evil.example?=",
    ),
    ("mailbox-asked", "a Subject that asks for another mailbox", "own", "Subject: alice@victim.example"),
    (
        "template",
        "a Subject in the words of a template",
        "CWE-1336",
        "Subject: {{ 7*7 }} {% include '/etc/passwd' %}",
    ),
]

_ORDINARY = {
    "outlook": (
        'From: "Builder, Bob" <bob@victim.example>',
        (
            "Thread-Topic: held mail",
            "Thread-Index: AQHb",
            "X-MS-Has-Attach:",
            "Content-Language: en-GB",
            "MIME-Version: 1.0",
            "Content-Type: multipart/alternative; boundary=x",
        ),
    ),
    "apple": (
        "From: Bob Builder <bob@victim.example>",
        (
            "Mime-Version: 1.0 (Mac OS X Mail 16.0)",
            "X-Mailer: Apple Mail (2.3826)",
            "Content-Type: text/plain",
        ),
    ),
    "gmail": (
        "From: Bob Builder <bob@victim.example>",
        ("MIME-Version: 1.0", "Content-Type: text/html; charset=UTF-8"),
    ),
    "thunderbird": (
        "From: Bob <bob@victim.example>",
        ("User-Agent: Mozilla Thunderbird", "Content-Language: en-GB"),
    ),
    "reply": (
        "From: Bob <bob@victim.example>",
        (
            "In-Reply-To: <a@x.example>",
            "References: <a@x.example>",
            "Subject: Re: Held mail for bob@victim.example",
        ),
    ),
    "forwarded": ("From: bob@victim.example", ("X-Forwarded-Message-Id: <a@x.example>", "Subject: Fwd: x")),
    "signed": (
        "From: bob@victim.example",
        ("MIME-Version: 1.0", "Content-Type: multipart/signed; boundary=x"),
    ),
    "utf8": ("From: Bøb Bühler <bob@victim.example>", ("Subject: Grüße 🙂",)),
}

ATTACKS = [
    *(
        Attack(f"divert-{name}", f"diverts by {trick}", f"{source}; {_RULE}", BOB, mail(field))
        for name, trick, source, field in _FIELDS
    ),
    Attack(
        "divert-envelope",
        "the envelope sender is Eve's",
        f"RFC 5321 4.1.1.2; {_RULE}",
        BOB,
        mail(),
        envelope_from="eve@evil.example",
    ),
    *(
        Attack(
            f"ordinary-{name}",
            f"control: a mail as {name} makes it",
            "own",
            BOB,
            mail(*fields, sender=sender),
        )
        for name, (sender, fields) in _ORDINARY.items()
    ),
    *(
        Attack(f"ordinary-{name}", f"control: {what}", "RFC 5322 3.6", BOB, data, verdicts=verdicts)
        for name, what, data, verdicts in [
            ("bare", "nothing but From", b"From: bob@victim.example\r\n\r\n", ALL_PASS),
            ("no-body", "no body and no empty line", b"From: bob@victim.example\r\n", ALL_PASS),
            ("all-pass", "all verdicts are PASS", mail(), ALL_PASS),
        ]
    ),
]
