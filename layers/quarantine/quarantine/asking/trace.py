"""What SES vouches for: the hop over which it received a mail, and the results of DKIM and DMARC.

Only this module knows the grammar of the fields that SES adds on top of a mail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from quarantine.asking.event import InboundMail
from quarantine.mail.authresults import split_results
from quarantine.mail.domains import InvalidDomain, normalise_domain
from quarantine.mail.strict import Header

# --- The hop ---


@dataclass(frozen=True, slots=True)
class Hop:
    """SES's own Received field, parsed.

    client: what SES says about the connecting server; that server chose the HELO name in it.
    recipient, date: the text that follows; empty if SES names none.
    """

    client: str
    message_id: str
    recipient: str
    date: str


_SES = r"\bby inbound-smtp\.[a-z0-9-]+\.amazonaws\.com with SMTP id "
_AFTER = r"(?![^\s;])(?:\s+for\s+(?P<recipient>[^\s;]+))?(?:\s*;(?P<date>.*))?"
_ANY_ID = r"[A-Za-z0-9._-]{1,128}"


def read_hop(received: str, message_id: str | None) -> Hop | None:
    """Read a Received field that SES wrote; return None for any other.

    Only SES can have written its host name together with the id that it assigned to this mail.
    message_id: that id; None accepts any id, which proves nothing.
    """
    wanted = _ANY_ID if message_id is None else re.escape(message_id)
    match = re.search(f"{_SES}(?P<id>{wanted}){_AFTER}", received)
    if match is None:
        return None
    return Hop(received[: match.start()], match["id"], match["recipient"] or "", match["date"] or "")


# The only text allowed before SES's own words in its Received field. A HELO name with other characters
# could imitate the text that follows, both here and where SES repeats it.
_PLAIN_CLIENT = re.compile(r"from [\w.:\[\]-]+ \((?:[\w.-]+ )?\[[^\[\]]*\]\)\s+", re.ASCII)


def connecting_ip(mail: InboundMail) -> IPv4Address | IPv6Address | None:
    """Return the address of the server that delivered the mail to SES; None if it cannot be determined.

    It is read only from SES's own Received field: the first one, with this mail's id, which no sender can
    know. A HELO name may look like anything, so the last bracketed address before that id counts.
    """
    bracketed = re.findall(r"\[([^\[\]]*)\]", _client(mail))
    return _ip(bracketed[-1]) if bracketed else None


def _client(mail: InboundMail) -> str:
    """Return what SES says about the client; empty if SES did not write the first Received field."""
    for received in mail.values("Received")[:1]:
        if (hop := read_hop(received, mail.message_id)) is not None:
            return hop.client
    return ""


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    literal = text.strip().removeprefix("IPv6:")  # RFC 5321 4.1.3
    try:
        ip = ip_address(literal)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        return None if ip.scope_id is not None else ip.ipv4_mapped or ip
    return ip


# --- Results ---


def dkim_domains(mail: InboundMail) -> tuple[str, ...]:
    """Return the domains of the signatures that SES verified, normalised, from its Authentication-Results.

    Empty if SES's own field cannot be distinguished from text that the sender wrote.
    """
    results = authentication_results(mail)
    return tuple(domain for result in results for domain in _passing_dkim(result))


_DMARC_FROM = re.compile(r"\bheader\.from=\"?([^\s;()\"]+)", re.IGNORECASE)  # RFC 8601 2.7.2, RFC 7489 11.1
_ANY_FROM = re.compile(r"\bheader\.from\b", re.IGNORECASE)


def dmarc_domains(mail: InboundMail) -> tuple[str, ...]:
    """Return every From domain that SES's Authentication-Results names; empty if it names none.

    The field is taken as it stands, including text that the sender controls: all of the domains must be
    right, so a word that the sender added can only be a wrong one. Where one cannot be read, none counts.
    """
    field = _results_field(mail)
    domains = tuple(_DMARC_FROM.findall(field))
    return domains if len(domains) == len(_ANY_FROM.findall(field)) else ()


# The fields of SES's block below its Received field, in the order in which SES writes them.
_SES_BLOCK = (
    "x-ses-spam-verdict",
    "x-ses-virus-verdict",
    "received-spf",
    "authentication-results",
    "x-ses-receipt",
    "x-ses-dkim-signature",
)


def _ses_block(mail: InboundMail) -> Iterator[Header]:
    """Yield the fields that SES wrote below its Received field: up to the first one out of order."""
    keys = [header.key for header in mail.headers]
    if "received" not in keys:
        return
    below = iter(mail.headers[keys.index("received") + 1 :])
    place = 0
    while (header := next(below, None)) and header.key in _SES_BLOCK[place:]:
        place = _SES_BLOCK.index(header.key) + 1
        yield header


def authentication_results(mail: InboundMail) -> list[list[str]]:
    """Return the results of SES's own Authentication-Results, each as its words; none if in doubt."""
    return [] if doubt(mail) is not None else split_results(_results_field(mail))[1:]


def doubt(mail: InboundMail) -> str | None:
    """Return why SES's own Authentication-Results is not believed; None when it is.

    SES repeats five texts from the sender in this field: the HELO name, the envelope sender, a domain of
    their SPF record, and the `d=` and `i=` of each signature. The field is trusted only if none of these
    texts can have added or hidden a result.
    """
    if not _PLAIN_CLIENT.fullmatch(_client(mail)):
        return "the HELO name could imitate a result"
    if not _has_plain_sender(mail):
        return "the envelope sender could imitate a result"
    if not _has_plain_signers(mail):
        return "the d= or i= of a signature could imitate a result"
    authserv_id, *results = split_results(_results_field(mail))
    if authserv_id != [_AUTHSERV_ID]:
        return "there is no Authentication-Results field of SES that can be read"
    return None if _is_in_order(results) else "its results are not in the order of SES"


_AUTHSERV_ID = "amazonses.com"


def _results_field(mail: InboundMail) -> str:
    """Return the value of SES's Authentication-Results; empty where SES wrote none."""
    fields = (header.value for header in _ses_block(mail) if header.key == "authentication-results")
    field = next(fields, "")
    return field if field.partition(";")[0].strip() == _AUTHSERV_ID else ""


# Of the characters of a dot-atom: an envelope sender that a forwarder rewrote may be longer than an address.
_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
_PLAIN_SENDER = re.compile(rf"{_LOCAL_PART}+@[A-Za-z0-9.-]+")


def _has_plain_sender(mail: InboundMail) -> bool:
    return not mail.envelope_from or _PLAIN_SENDER.fullmatch(mail.envelope_from) is not None


_PLAIN_SIGNERS = {
    "d": re.compile(r"[\w.-]+"),  # RFC 6376 3.5; a U-label adds no result
    "i": re.compile(rf"{_LOCAL_PART}*@[\w.-]+", re.ASCII),  # RFC 6376 3.5: any local part, or none
}


def _has_plain_signers(mail: InboundMail) -> bool:
    """Return whether each signature, valid or not, has plain names: SES repeats the names of both kinds."""
    tags = (tag.partition("=") for value in mail.values("DKIM-Signature") for tag in value.split(";"))
    named = ((name.strip().lower(), _unquoted("".join(value.split()))) for name, _, value in tags)
    return all(_PLAIN_SIGNERS[name].fullmatch(value) for name, value in named if name in _PLAIN_SIGNERS)


_HEX_OCTET = re.compile(r"=([0-9A-F]{2})")


def _unquoted(value: str) -> str:
    """Decode dkim-quoted-printable (RFC 6376 2.11): SES may repeat a text as it stands or decoded."""
    return _HEX_OCTET.sub(lambda match: chr(int(match[1], 16)), value)


# What SES says, in its order; only dkim may come more than once. A result that a sender added would come
# too early, or stand beside SES's own.
_RESULTS_ORDER = ("spf", "client-ip", "envelope-from", "helo", "dkim", "dmarc")


def _is_in_order(results: list[list[str]]) -> bool:
    words = [word.lower().partition("=")[0] for result in results for word in result]
    methods = [word for word in words if not word.startswith("header.")]
    if not set(methods) <= set(_RESULTS_ORDER):
        return False
    places = [_RESULTS_ORDER.index(method) for method in methods]
    return places == sorted(places) and all(methods.count(word) <= 1 for word in methods if word != "dkim")


def _passing_dkim(result: list[str]) -> Iterator[str]:
    """Yield the signing domain of a result that reads `dkim=pass header.i=@domain` (or header.d=domain)."""
    if not result or result[0].lower() != "dkim=pass":
        return
    properties = [word.partition("=") for word in result[1:]]
    signers = [value for name, _, value in properties if name.lower() in ("header.i", "header.d")]
    domains = {signer.rpartition("@")[2] for signer in signers}
    if len(domains) == 1:  # if two differ, SES did not write one of them
        try:
            yield normalise_domain(domains.pop())
        except InvalidDomain:
            return
