"""The words of mail systems, as tables of patterns.

A blank in a pattern matches any white space, also a line end. Letter case is ignored.
"""

import re


def any_of(*patterns: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """Compile the alternatives *patterns*."""
    return re.compile("|".join(patterns).replace(" ", r"\s{1,9}"), flags)


_UNDELIVERED = (
    r"undeliver",
    r"non-?deliver",
    r"\bbounced?\b",
    r"\breturn(?:ed)? (?:mail|message|to sender)",
    r"(?:unknown|invalid|no such|bad|failed) (?:user|recipient|address|account)",
    r"(?:user|recipient|address|account|mailbox) unknown",
    r"\btranscript\b",
)

#: Senders of reports.
MAILER_DAEMON = any_of(r"mailer.?daemon")
MAIL_SYSTEM = any_of(
    r"mailer.?daemon",
    r"post.?master",
    r"mail\s?delivery",
    r"delivery (?:sub)?system",
    r"mail\s?system",
    r"mdaemon",
    r"daemon@",
    r"system administrator",
    r"mail\s?admin",
    r"\bmta\b",
)

#: Subjects of reports on a failed or delayed delivery.
FAILURE_SUBJECT = any_of(
    *_UNDELIVERED,
    r"not (?:be )?deliver",
    r"\bfail(?:ure|ed|ing)? (?:notice|to|mail|deliver)",
    r"deliver\w{0,9} (?:status|report|fail|problem|notif|err|delay|warning|attempt)",
    r"\b(?:e-?mail|message)\b[^\n]{0,30}\b(?:fail|return|reject|error|delay)",
    r"\berror (?:sending|in smtp)",
    r"mailbox (?:full|unavail)",
    r"postmaster notify",
    r"could not (?:be )?sen[dt]",
)

#: Texts of such reports.
FAILURE_TEXT = any_of(
    *_UNDELIVERED,
    r"fatal error",
    r"permanent (?:error|failure)",
    r"giv(?:e|en|ing) up",
    r"over (?:its )?quota",
    r"quota exceed",
    r"full mailbox",
    r"(?:not|n't|unable|fail|failed|failure|error|problem|cannot|impossible)\b"
    r"[^\n]{0,30}\b(?:deliver|reach|sen[dt]\b)",
    r"\bdeliver\w{0,9}\b[^\n]{0,60}\b(?:fail|problem|error|delay|not|abort|reject)",
    r"\b(?:user|recipient|address|account|mailbox|host|domain)\b[^\n]{0,60}"
    r"\b(?:not|invalid|full|disabled|reject|suspended|doesn't)",
    r"(?:was|been) rejected",
    r"\bdelay(?:ed| reason)",
)

#: Announcements of further attempts.
DELAYED = any_of(
    r"\bwill (?:continue|keep|retry|re-?attempt|try|still)\b",
    r"\bwill be (?:re-?tried|attempted|re-?sent)\b",
    r"not yet been delivered",
    r"(?:has been|is) (?:delayed|postponed)",
    r"still (?:being|trying|queued|undelivered|in the)",
    r"delivery delayed",
    r"attempts will continue",
    r"temporary failure report",
    r"no action is",
    r"do not need to re-?send",
    r"\b(?:just|only) a warning",
    r"warning (?:message )?only",
)

#: Reports on a delivery without a failure.
SUCCESS = any_of(
    r"success\w{0,9} deliver", r"deliver\w{0,9} success", r"was delivered to"
)

#: Subjects of replies and of automatic replies.
REPLY_SUBJECT = any_of(r"^\s*(?:re|fwd?|aw|wg|antw|sv|tr)\s*:")
VACATION_SUBJECT = any_of(
    r"\bauto(?:matic|mated)?[\x20-]?(?:reply|response|responder|answer)",
    r"^auto:",
    r"out of (?:the )?office",
    r"\bvacation\b",
    r"\bon (?:holiday|leave)\b",
    r"\baway from (?:my|the)\b",
    r"abwesenheit",
    r"absence",
    r"r.ponse automatique",
    r"respuesta autom",
    r"risposta automatica",
    r"fuera de la oficina",
    r"fuori (?:sede|ufficio)",
)

#: First lines of the returned mail: the text above is about the failure.
RETURNED = any_of(
    # ----- Original message -----        --- Below this line is a copy of the message.
    r"^[\x20\t>]{0,8}[-=_*#]{2,120}(?![-=_*#])[^\n]{0,40}"
    r"\b(?:original|copy of|returned|unsent|below|undelivered"
    r"|(?:message|mail) (?:headers?|text|follows|body|source))",
    # The original message follows:       Rejected message:
    r"^[\x20\t>]{0,8}(?:the |your )?(?:original|returned|rejected|undelivered)"
    r" (?:message|mail)[^\n]{0,40}(?:follow|attached|below|:\s*$)",
    # Message headers follow:             Original headers:
    r"^[\x20\t>]{0,8}(?:message|original|mail) (?:headers?|text|source|contents?)"
    r"[^\n]{0,30}(?:follow|:\s*$)",
    # A copy of your message              Below is a copy of the message
    r"^[\x20\t>]{0,8}(?:a copy of|below is|included is|here is your returned)\b",
    r"^[\x20\t>]{0,8}your message reads",
    r"^(?:Received|Return-Path|DKIM-Signature|X-Received|MIME-Version):[\x20\t]",
    flags=re.IGNORECASE | re.MULTILINE,
)

#: Lines about the returned mail, its sender, or a person to ask.
BYSTANDER = any_of(
    r"^[\x20\t>|]*(?:from|cc|reply-to|sender|message-?id|sent|subject|date|references"
    r"|in-reply-to|received)\s*:",
    r"mail from",
    r"envelope.?from",
    r"(?:your|mail) administrator",
    r"\bcontact",
    r"assistance",
    r"\bhelp",
    r"questions?",
    r"support",
    r"on behalf of",
)
