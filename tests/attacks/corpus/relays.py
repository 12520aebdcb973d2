"""Connecting addresses and networks in forms that two parsers read as different hosts."""

from quarantine.asking.admission import Refusal
from tests.attacks.attack import BOB, EVES_SERVER, STRANGER, Attack, Event, Relay, mail

_UNAUTHENTICATED = Refusal.UNAUTHENTICATED
_RECEIVED = (
    "from mail.victim.example (mail.victim.example [{ip}]) by inbound-smtp.us-east-1.amazonaws.com"
    " with SMTP id {{id}} for manual-report-request@reports.example.com; Mon, 23 Nov 2026 12:00:00 +0000"
)
_FORMS = "RFC 6943 3.1.1"

# The address as SES would write it, the recorded network, whether the address is in the network.
_PEERS = [
    ("plain", "192.0.2.10", "192.0.2.0/24", True, "control"),
    ("ipv6", "2001:db8::a1", "2001:db8::/48", True, "control"),
    ("ipv6-tag", "IPv6:2001:db8::a1", "2001:db8::/48", True, "RFC 5321 4.1.3"),
    ("ipv6-long", "2001:0DB8:0:0:0:0:0:A1", "2001:db8::/48", True, "RFC 5952"),
    ("mapped", "::ffff:192.0.2.10", "192.0.2.0/24", True, "RFC 4291 2.5.5.2: the same host"),
    ("mapped-hex", "::ffff:c000:20a", "192.0.2.0/24", True, "RFC 4291 2.5.5.2: the same host"),
    ("mapped-other", "::ffff:203.0.113.9", "192.0.2.0/24", False, "RFC 4291 2.5.5.2"),
    ("mapped-in-mapped-net", "203.0.113.9", "::ffff:192.0.2.0/120", False, "RFC 4291 2.5.5.2"),
    ("compatible", "::192.0.2.10", "192.0.2.0/24", False, "RFC 4291 2.5.5.1"),
    ("nat64", "64:ff9b::192.0.2.10", "192.0.2.0/24", False, "RFC 6052"),
    ("six-to-four", "2002:c000:20a::1", "192.0.2.0/24", False, "RFC 3056"),
    ("zone", "fe80::1%eth0", "fe80::/10", False, "RFC 4007 11"),
    ("zone-number", "2001:db8::a1%1", "2001:db8::/48", False, "RFC 4007 11"),
    ("leading-zero", "192.0.2.010", "192.0.2.0/24", False, "CVE-2021-29921 (Python ipaddress)"),
    ("octal", "0300.0.02.012", "192.0.2.0/24", False, "CVE-2021-29921 (Python ipaddress)"),
    ("hex", "0xc0.0.2.10", "192.0.2.0/24", False, _FORMS),
    ("hex-whole", "0xc000020a", "192.0.2.0/24", False, _FORMS),
    ("decimal", "3221225994", "192.0.2.0/24", False, _FORMS),
    ("short", "192.0.522", "192.0.2.0/24", False, _FORMS),
    ("full-width", "\uff11\uff19\uff12.0.2.10", "192.0.2.0/24", False, "own: str.isdigit"),
    ("with-port", "192.0.2.10:25", "192.0.2.0/24", False, "own"),
    ("with-network", "192.0.2.10/24", "192.0.2.0/24", False, "own"),
    ("list", "192.0.2.10, 203.0.113.9", "192.0.2.0/24", False, "own"),
    ("name", "mail.victim.example", "192.0.2.0/24", False, "own"),
    ("empty", "", "192.0.2.0/24", False, "own"),
    ("just-outside", "192.0.3.0", "192.0.2.0/24", False, "RFC 4632"),
    ("just-below", "192.0.1.255", "192.0.2.0/24", False, "RFC 4632"),
    ("prefix-of-text", "192.0.2.100", "192.0.2.10/32", False, "own: str.startswith"),
    ("zero-v4-for-v6", "2001:db8::a1", "0.0.0.0/0", False, "RFC 4632"),
    ("zero-v6-for-v4", "203.0.113.9", "::/0", False, "RFC 4291"),
    ("zero", "203.0.113.9", "0.0.0.0/0", True, "reference, relay: the operator opened it"),
    ("host-bits", "192.0.2.10", "192.0.2.1/24", False, "reference: canonical CIDR, else skipped"),
    ("leading-zero-net", "192.0.2.10", "192.0.02.0/24", False, "reference: canonical CIDR, else skipped"),
    ("prefix-too-long", "192.0.2.10", "192.0.2.0/33", False, "reference: canonical CIDR, else skipped"),
    ("prefix-negative", "192.0.2.10", "192.0.2.0/-8", False, "reference: canonical CIDR, else skipped"),
    ("net-empty", "192.0.2.10", "", False, "reference: canonical CIDR, else skipped"),
    ("net-star", "192.0.2.10", "*", False, "reference: canonical CIDR, else skipped"),
]

ATTACKS = [
    *(
        Attack(
            f"relay-{name}",
            f"{ip or 'no address'} with the record {network or 'of nothing'}",
            source,
            BOB if is_inside else _UNAUTHENTICATED,
            mail(),
            records=(Relay("victim.example", network),),
            event=Event(received=_RECEIVED.format(ip=ip)),
        )
        for name, ip, network, is_inside, source in _PEERS
    ),
    Attack(
        "relay-stranger", "a server of nobody's", "reference, relay", _UNAUTHENTICATED, mail(), peer=STRANGER
    ),
    Attack(
        "relay-of-another-customer",
        "Eve's server, which may relay for her domain, with Bob's address",
        "reference, relay; Weak Links in Authentication Chains (USENIX Security 2021)",
        _UNAUTHENTICATED,
        mail(),
        peer=EVES_SERVER,
    ),
    Attack(
        "relay-envelope-of-eve",
        "the envelope sender's domain is relayed for, From's is not",
        "RFC 5321 2.3.1; reference, relay",
        _UNAUTHENTICATED,
        mail(),
        peer=EVES_SERVER,
        helo="mail.evil.example",
        envelope_from="eve@evil.example",
    ),
    Attack(
        "relay-envelope-differs",
        "control: Bob's server, with another envelope sender",
        "RFC 5321 2.3.1",
        BOB,
        mail(),
        envelope_from="bounce@example.net",
    ),
    Attack(
        "relay-everybodys",
        "control: a server that may relay for everybody",
        "reference, relay of *",
        BOB,
        mail(),
        peer=STRANGER,
        records=(Relay("*", f"{STRANGER}/32"),),
    ),
    Attack(
        "relay-neighbour",
        "the next address to Bob's server's",
        "reference, relay",
        _UNAUTHENTICATED,
        mail(),
        peer="127.0.0.2",
    ),
]
