"""Recipients in the human text of bounces that carry no usable report."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from sendgrid_bounces.sources.mail.addresses import ADDRESS
from sendgrid_bounces.sources.mail.words import BYSTANDER, RETURNED
from sendgrid_bounces.sources.status import find_code, find_status, guess_status

_SEPARATORS = ">:;, \t\n\"')"
_TO_LINE = re.compile(r"^[ \t>|]*(?:to|recipients?)\s*:", re.IGNORECASE)


def _cue(before: str, after: str = "") -> re.Pattern[str]:
    flags = re.IGNORECASE | re.VERBOSE | re.ASCII
    return re.compile(before + ADDRESS.pattern + after, flags)


#: Forms that name a failed recipient, strongest first; each with an example.
_CUES = (
    # <user@host>: reason     user@host...     * user@host     550 <user@host>
    _cue(
        r"""^ [ \t>]{0,16} (?: [*-]{1,3} [ \t]{1,3} )? (?: <<<[ \t] )?
            (?: [45]\d\d[ -] )? ["'<(\[]{0,2} (?: smtp: | mailto: )? """,
        r""" ["'>)\]]{0,2} [ \t]{0,9}
            (?= $ | : | ; | , | \.\.\. | < | \( | \[ | \# | -- | on\ | \ \  | \t )""",
    ),
    # RCPT TO:<user@host>
    _cue(r"RCPT [ \t]{1,3} TO [ \t]{0,3} : [ \t]{0,3} <?"),
    # Unknown user: user@host     Addressed To: user@host     your message to user@host
    _cue(
        r"""\b
            (?: recipients? | to | user | mailbox | account | address | for | failed )
            (?: \ (?: name | address | is | was ) )? [ \t]{0,9} :? [ \t]{0,9}
            ["'<(\[]{0,2} (?: smtp: )? """
    ),
    # user@host is unknown     <user@host> User unknown
    _cue(
        "",
        r""" ["'>)\],:]{0,3} [ \t]
           (?= [^\n]{0,80} (?: no | unknown | full | fail | valid | reject | quota))""",
    ),
    # user@host
    _cue(""),
)


#: Characters of a passage that are searched for codes and words: there can be many.
MAX_PASSAGE = 4_000


@dataclass(frozen=True)
class Passage:
    """The text about one recipient, and its codes.

    :param is_temporary: whether the words, in the absence of codes, describe a failure
        that may pass.
    """

    status: str
    code: str
    reason: str
    is_temporary: bool


def split_returned(text: str) -> tuple[str, str]:
    """Return the text above the returned mail, and the returned mail."""
    begin = len(text) - len(text.lstrip())
    match = RETURNED.search(text, begin + 1)  # the first line is about the failure
    return (text[: match.start()], text[match.start() :]) if match else (text, "")


def find_failed(text: str, strangers: set[str], addressed: set[str]) -> list[str]:
    """Return the failed recipients that *text*, without the returned mail, names.

    :param strangers: addresses to leave out, in small letters, such as the sender's.
    :param addressed: recipients of the returned mail, preferred if there is a choice.
    """
    lines = [line for line in text.split("\n") if "@" in line]
    plain = [line for line in lines if not BYSTANDER.search(line)]
    named = [line for line in plain if not _TO_LINE.match(line)]
    for cue, scanned in [*((cue, named) for cue in _CUES), (_CUES[-1], plain)]:
        found = [match["email"] for line in scanned for match in cue.finditer(line)]
        found = [e for e in dict.fromkeys(found) if e.lower() not in strangers]
        if found:
            return [e for e in found if e.lower() in addressed] or found
    return []


class Passages:
    """The passages of a text about its recipients.

    :param text: the human text without the returned mail.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = text.lower()
        self._starts: dict[str, list[int]] = {}
        # It takes long to read a passage, and a hundred recipients can have the same.
        self._read_codes = cache(_read_codes)
        self._is_temporary = cache(_is_temporary)

    def find(self, email: str, emails: list[str]) -> Passage:
        """Return the passage about *email*, up to the line with the next of *emails*.

        Without a code in the passage, the first codes of the whole text count.
        """
        passage, reason = self._split(email, emails)
        status, code = self._read_codes(passage)
        if not status and not code:
            status, code = self._read_codes(self._text)
        words = passage if len(emails) > 1 else self._text
        return Passage(status, code, reason, self._is_temporary(words))

    def _find(self, email: str) -> list[int]:
        """Return where *email* begins. It takes long, so each is searched for once."""
        if email not in self._starts:
            pattern = re.compile(re.escape(email))
            found = pattern.finditer(self._folded)
            self._starts[email] = [match.start() for match in found]
        return self._starts[email]

    def _split(self, email: str, emails: list[str]) -> tuple[str, str]:
        """Return the passage about *email*, and the part of it after the address."""
        text, starts = self._text, self._find(email.lower())
        if not starts:
            return text[:MAX_PASSAGE], text
        start, after = starts[0], starts[0] + len(email)
        others = {other.lower() for other in emails} - {email.lower()}
        found = map(self._find, others)
        nexts = (p for each in found for p in each[bisect_left(each, after) :][:1])
        ends = [text.rfind("\n", 0, position) for position in nexts]
        end = min((end for end in ends if end > after), default=len(text))
        first = text.rfind("\n", 0, start) + 1
        passage = text[first : min(end, first + MAX_PASSAGE)]
        return passage, text[after:end].lstrip(_SEPARATORS)


def _read_codes(text: str) -> tuple[str, str]:
    """Return the status and the reply code in *text*."""
    return find_status(text), find_code(text)


def _is_temporary(text: str) -> bool:
    """Return whether *text* names a failure that may pass."""
    return guess_status(text) == "4.0.0"
