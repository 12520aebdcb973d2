r"""A released mail as it goes over SMTP or LMTP, or into sendmail: with line ends that have one reading.

The mail is hostile, and the server that takes it trusts us. A server that takes `\n.\n` or `\r.\r\n` for the
end of a mail would read what follows as commands (SMTP smuggling, CVE-2023-51764). So no CR and no LF stands
alone, before dots are stuffed (RFC 5321 2.3.8, 4.5.2).
"""

from dataclasses import dataclass


class UnsafeMail(ValueError):
    """The mail has a byte that no server may be given; the message says which."""


@dataclass(frozen=True, slots=True)
class WireMail:
    """A mail of which every line ends in CRLF, before dots are stuffed.

    is_repaired: the original had line ends of which programs disagree, so a signature may not verify. One in
    which all lines end in LF, as in a file, has not.
    """

    content: bytes
    is_repaired: bool

    @property
    def for_a_pipe(self) -> bytes:
        """The mail as a local program reads it from its standard input: its lines end in LF."""
        return self.content.replace(b"\r\n", b"\n")

    @property
    def is_seven_bit(self) -> bool:
        return self.content.isascii()


def wire_mail(mail: bytes) -> WireMail:
    """Return a mail that can be handed over. Raises UnsafeMail for a NUL (RFC 5321 2.3.7)."""
    if b"\0" in mail:
        raise UnsafeMail("the message contains a NUL byte, which mail must not contain")
    of_lf = mail.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if of_lf and not of_lf.endswith(b"\n"):
        of_lf += b"\n"
    content = of_lf.replace(b"\n", b"\r\n")
    return WireMail(content, is_repaired=not _has_one_reading(mail))


def _has_one_reading(mail: bytes) -> bool:
    """Return whether all line ends are CRLF, or all are LF."""
    pairs, feeds, returns = mail.count(b"\r\n"), mail.count(b"\n"), mail.count(b"\r")
    return returns == pairs and pairs in (0, feeds)
