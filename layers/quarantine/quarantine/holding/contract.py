"""The contract of held/: by which names a filter says what it stored in the bucket (docs/holding.md)."""

from typing import Final

PREFIX: Final = "held/"
"""With this begins the key of each held mail."""

METADATA: Final = ("recipients", "reason", "score", "sender")
"""The names of an object's metadata (`x-amz-meta-...`) for its recipients, reason, score and sender."""

TAGGED: Final = "tagged"
"""The metadata of an object that was stored with its tag: the reason in that tag."""

IMPORTED: Final = "imported"
"""The metadata of an object whose rows an import writes."""
