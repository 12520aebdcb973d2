"""How an action is answered: exactly one mail to the requester (docs/reference.md, "Acting by mail")."""

from enum import StrEnum


class Answer(StrEnum):
    """The answer to an action, as the row of its request names it. The first two are mails of their own."""

    SHOWN = "shown"  # the preview
    DELIVERED = "delivered"  # the released message itself, to the requester's own mailbox
    RELEASED = "released"  # it went to another mailbox that the requester may see
    HANDED_OVER = "handed_over"  # the mail server of the mailbox took it, as the sender wrote it
    HANDED_OVER_REPAIRED = "handed_over_repaired"  # as above, with line ends that have one reading
    DELETED = "deleted"
    ON_ITS_WAY = "on_its_way"  # another request delivers it at this moment
    RELEASED_BEFORE = "released_before"
    DELETED_BEFORE = "deleted_before"
    EXPIRED = "expired"  # its time is over, and its row is still there
    TOO_OLD = "too_old"  # the mail that asked is older than a day
    SWITCHED_OFF = "switched_off"  # UserActions does not name this action
    NOT_RELEASABLE = "not_releasable"  # ReleaseReasons does not name the reason of the message
    NOT_STORED = "not_stored"  # only its row is kept, or the stored mail is gone
    CHANGED = "changed"  # the stored mail is not the one that was judged
    TOO_LARGE = "too_large"  # it does not fit into a mail that SES sends
    HARMFUL = "harmful"  # it has a virus, and SES sends none
    REFUSED_BY_SERVER = "refused_by_server"  # the mail server of the mailbox refused it; it is held again
    NOT_TAKEN = "not_taken"  # the mail server of the mailbox did not take it in time; it is held again
    NOT_SENT = "not_sent"  # SES refuses to send it; it is held again
    ASKED = "asked"  # the administrators were asked
    ASKED_BEFORE = "asked_before"  # they were asked already, and have not answered
    REFUSED_BEFORE = "refused_before"  # they were asked, and an administrator has refused
    NO_ADMINISTRATOR = "no_administrator"  # there is nobody to ask
    MAY_RELEASE = "may_release"  # the reader may release it without asking
    APPROVED = "approved"  # to the administrator: it is released
    REFUSED = "refused"  # to the administrator: it stays held
    RULED_BEFORE = "ruled_before"  # to the administrator: another answer came first
    APPROVED_HARMFUL = "approved_harmful"  # to the administrator: SES sends no virus; the ask stays open
    GRANTED = "granted"  # to who asked: an administrator released it
    DENIED = "denied"  # to who asked: an administrator refused
    REJECTED = "rejected"  # SES rejected it after it had accepted it; it is held again
    CAME_BACK = "came_back"  # the mail server of the mailbox refused it; it is held again
    DIGEST_ON = "digest_on"  # scheduled reports come
    DIGEST_OFF = "digest_off"  # they do not come any more
    DIGEST_OFF_BEFORE = "digest_off_before"  # they did not come before; the reader was answered then
    DIGEST_UNPLANNED = "digest_unplanned"  # there is no schedule for the reader
    DIGEST_STOPPED = "digest_stopped"  # the administrator has switched them off for the reader
