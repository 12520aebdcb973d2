"""A From field of a held mail, taken apart by the grammar of RFC 5322 3.4: one address with a name, or none.

An address is shown as one only if it is one and the field has one reading: a dot-atom or a quoted string, an
at sign and a domain name, alone or in angle brackets at the end, with comments wherever the RFC allows them.
Anything else (a group, a route, several addresses, a bracket that is not closed) is text without an address.
"""

import re
from typing import Final, NamedTuple

from quarantine.mail.domains import InvalidDomain, normalise_domain


class Mailbox(NamedTuple):
    """A name and an address, as they stand in a field. address: "" when none can be read."""

    name: str
    address: str


def read_mailbox(text: str) -> Mailbox:
    """Take a From field apart, in linear time. Encoded words in it stay as they are."""
    if (match := _ORDINARY.fullmatch(text)) and (address := _address(match[3])):
        return Mailbox((match[1] or match[2] or "").strip(), address)
    parts = _parts(text)
    places = [place for place, part in enumerate(parts) if part.kind != _COMMENT and not part.text.isspace()]
    while places and parts[places[-1]].kind == _COMMA:  # RFC 5322 4.4: empty members of a list
        places.pop()
    if places and parts[places[-1]].kind == _ANGLE:
        last = places.pop()
        before = [parts[place] for place in places]
        address = _address(_without_comments(_parts(parts[last].inner)))
        # A comma in a name that is not quoted is written often; one between two addresses makes a list.
        if address and not (any(map(_separates, before)) and any(map(_shows_address, before))):
            others = parts[:last] + [part for part in parts[last:] if part.kind == _COMMENT]
            return Mailbox(_words(others) if before else _comments(others), address)
    elif address := _address(_without_comments(parts[: places[-1] + 1] if places else [])):
        return Mailbox(_comments(parts), address)
    has_syntax = any(part.kind in {_ANGLE, _COMMENT} for part in parts)
    name = text.strip() if has_syntax else _words(parts)
    return Mailbox(name if name.strip("<> \t") else "", "")


def write_mailbox(mailbox: Mailbox) -> str:
    """Return a field that `read_mailbox` reads as this mailbox, whatever its name says."""
    name, address = mailbox
    field = _field(name, address)
    return (
        field if read_mailbox(field) == mailbox else _field(f'"{_TO_QUOTE.sub(r"\\\g<0>", name)}"', address)
    )


def _field(name: str, address: str) -> str:
    return f"{name} <{address}>" if name and address else name or address


def shown_address(address: str) -> str:
    """Return an address that `read_mailbox` found, with its domain as it is shown."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{_shown_domain(domain)}"


# --- Parts of a field ---

_STRING: Final = "string"
_ANGLE: Final = "angle"
_COMMA: Final = "comma"
_PLAIN: Final = "plain"
_COMMENT: Final = "comment"

_QUOTED = r'"(?:[^"\\]|\\.)*+"'  # RFC 5322 3.2.4
_PART = re.compile(
    rf'(?P<{_STRING}>{_QUOTED})|(?P<{_ANGLE}><(?:[^<>"]|{_QUOTED})*+>)|(?P<{_COMMA}>,)'
    rf'|(?P<{_PLAIN}>(?:[^"\\(<,]|\\.)++|.)',
    re.DOTALL,
)
# The form of nearly all fields, which needs no tokens
_ORDINARY = re.compile(r'\s*+(?:"([^"\\]*+)"\s*+|([^"(),;<>@\\]*+))<([^\s"(),;<>\\]++)>\s*+')
_PARENTHESIS = re.compile(r"[()]|\\.", re.DOTALL)
_TO_QUOTE = re.compile(r'["\\]')
_QUOTED_PAIR = re.compile(r'\\(["\\()])')  # any other backslash stays, as in DOMAIN\user


class _Part(NamedTuple):
    kind: str | None
    text: str

    @property
    def inner(self) -> str:
        """The text without what encloses it."""
        return self.text[1:-1]


def _parts(text: str) -> list[_Part]:
    parts: list[_Part] = []
    closing: dict[int, int] | None = None
    place = 0
    while match := _PART.match(text, place):
        kind, end = match.lastgroup, match.end()
        if text[place] == "(":
            closing = _closing(text, place) if closing is None else closing
            if place in closing:
                kind, end = _COMMENT, closing[place]
        parts.append(_Part(kind, text[place:end]))
        place = end
    return parts


def _closing(text: str, start: int) -> dict[int, int]:
    """Return the end of each comment by where it begins: comments nest (RFC 5322 3.2.2)."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in _PARENTHESIS.finditer(text, start):
        if match[0] == "(":
            opened.append(match.start())
        elif match[0] == ")" and opened:
            ends[opened.pop()] = match.end()
    return ends


def _without_comments(parts: list[_Part]) -> str:
    return "".join(" " if part.kind == _COMMENT else part.text for part in parts)


def _comments(parts: list[_Part]) -> str:
    """Return what the comments say, without what encloses and quotes it."""
    inner = [_words(_parts(part.inner)) for part in parts if part.kind == _COMMENT]
    return _QUOTED_PAIR.sub(r"\1", " ".join(inner))


def _words(parts: list[_Part]) -> str:
    """Return the words of a phrase (RFC 5322 3.2.5), its quoted strings without their quotes."""
    return "".join(
        _QUOTED_PAIR.sub(r"\1", part.inner) if part.kind == _STRING else part.text for part in parts
    ).strip()


def _separates(part: _Part) -> bool:
    return part.kind == _COMMA or (part.kind == _PLAIN and ";" in part.text)


def _shows_address(part: _Part) -> bool:
    return part.kind in {_ANGLE, _PLAIN} and "@" in part.text


# --- Addresses ---

_ATEXT = r"[\w!#$%&'*+/=?^`{|}~-]"  # RFC 5322 3.2.3, and the letters of every script (RFC 6532)
# A quoted string could show another address or a link: not one with these characters.
_LOCAL_PART = re.compile(rf'{_ATEXT}+(?:\.{_ATEXT}+)*|"(?:[^"\\@:/<>]|\\[^@:/<>])*"')
_ENCODED_WORD = re.compile(r"=\?.*\?=")  # RFC 2047 5: never within an addr-spec
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f:.]{2,45}\]")  # RFC 5321 4.1.3: imitates no domain
# More than a host name may have: an underscore imitates nothing, and letters that are not ASCII are encoded.
_LABEL = re.compile(r"(?!-)(?:[a-z0-9_-]|[^\x00-\x7f]){1,63}(?<!-)")
_LONGEST_ADDRESS = 320  # characters: RFC 5321 4.5.3.1, both parts at their longest
_MAX_DOMAIN = 253
_MAX_LABEL = 63


def _address(text: str) -> str:
    """Return an addr-spec (RFC 5322 3.4.1) without the white space around its parts; "" if it is not one."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    local, domain = local.rstrip(), domain.lstrip()
    if len(text) > _LONGEST_ADDRESS:
        return ""
    if _LOCAL_PART.fullmatch(local) and not _ENCODED_WORD.search(local) and _shown_domain(domain):
        return f"{local}@{domain}"
    return ""


def _shown_domain(domain: str) -> str:
    """Return a domain in a form that imitates no other; "" if it is not a domain name.

    The form is its A-labels. IDNA refuses some letters, for example mathematical ones. A label with such
    letters is encoded letter by letter, so that `𝗲𝗯𝗮𝘆.com` does not become `ebay.com`.
    """
    if _LITERAL.fullmatch(domain):
        return domain
    try:
        return normalise_domain(domain)
    except InvalidDomain:
        labels = [_exact_label(label) for label in domain.split(".")] if len(domain) <= _MAX_DOMAIN else []
    shown = ".".join(labels)
    return shown if len(labels) > 1 and all(labels) and len(shown) <= _MAX_DOMAIN else ""


def _exact_label(label: str) -> str:
    """Encode a label in ASCII, each letter as it is; "" if it is not a label."""
    label = "".join(letter.lower() if letter.isascii() else letter for letter in label)
    if not _LABEL.fullmatch(label):
        return ""
    exact = label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
    return exact if len(exact) <= _MAX_LABEL else ""
