"""Hostile text for a log or a terminal: no character in it acts on what shows it."""


def escaped(text: str) -> str:
    r"""Return a text with each character that cannot be printed written out, as `\x1b` or `\u202e`.

    These are control, format and bidi characters, line ends, lone surrogates and all spaces but ASCII's. So
    the text shows that one was there. The escapes of JSON are not enough: a viewer decodes them.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _written_out(char) for char in text)


def escaped_lines(text: str) -> str:
    """Do the same for a text of several lines, which stay lines."""
    return "\n".join(map(escaped, text.split("\n")))


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
