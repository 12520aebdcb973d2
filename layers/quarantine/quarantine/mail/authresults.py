"""The field Authentication-Results (RFC 8601), as far as everybody writes it alike."""

import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[();]|[^"();]+')


def split_results(value: str) -> list[list[str]]:
    """Split a value at its semicolons, without comments, into words; quoted strings are blanked.

    SES's field does not follow the grammar of RFC 8601 (it has bare `client-ip=` and `helo=` results), so
    libraries for that grammar refuse it. An unbalanced value yields one empty result.
    """
    results: list[list[str]] = [[]]
    depth = place = 0
    for match in _TOKEN.finditer(value):
        if match.start() != place:  # a quotation mark that has no other: what follows is not read
            return [[]]
        token, place = match[0], match.end()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth == 0 and token == ";":
            results.append([])
        elif depth == 0:
            results[-1].append('""' if token.startswith('"') else token)
        if depth < 0:
            return [[]]
    balanced = depth == 0 and place == len(value)
    return ["".join(result).split() for result in results] if balanced else [[]]
