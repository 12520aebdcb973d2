"""The families of filters that we can read."""

from enum import StrEnum


class Family(StrEnum):
    """The filters whose fields are read, in the order in which they are read."""

    AMAVIS = "amavis"
    RSPAMD = "rspamd"
    SPAMASSASSIN = "spamassassin"
    MICROSOFT = "microsoft"
    SES = "ses"
