"""The reader of bounce mails: steps from the surest evidence to the weakest."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from sendgrid_bounces.core.charsets import forget_unknown_charsets
from sendgrid_bounces.sources import ses
from sendgrid_bounces.sources.events import Batch, BounceEvent, EventError
from sendgrid_bounces.sources.mail import flufl, vetoes
from sendgrid_bounces.sources.mail.addresses import find_addresses, is_role
from sendgrid_bounces.sources.mail.context import Context, Options, Recipient
from sendgrid_bounces.sources.mail.message import MAX_BYTES, MIME_ERRORS, normalize
from sendgrid_bounces.sources.mail.reports import RecipientReport, read_reports
from sendgrid_bounces.sources.mail.text import find_failed
from sendgrid_bounces.sources.mail.verp import find_verp
from sendgrid_bounces.sources.status import choose_status, is_vague

#: Events taken from one mail.
MAX_RECIPIENTS = 100

#: The problem of a mail that reports on a recipient without an address of mail.
UNREADABLE = "a bounce mail with a recipient whose address cannot be read"

#: The line before a mail in an mbox ends with a year or a time zone. The line after it
#: is a header field, since the body of a mail can have such a line, too.
_FROM_LINE = re.compile(rb"From [^\r\n]{1,200}\d{4}[^\r\n]{0,40}\r?\n")
_FIELD = re.compile(rb"[A-Za-z0-9_-]{1,76}:")

_BLANK = (b"\n", b"\r\n")


def split_mails(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the mails of an mbox; or all *lines*, if they are not an mbox.

    A mail of an mbox is without the line before it, and without a blank line at its
    end. Of a long mail, the first :data:`MAX_BYTES` are kept, and the rest of the line.
    """
    iterator = iter(lines)
    mail = _Mail()
    first = next(iterator, b"")
    if not first.startswith(b"From "):
        for line in chain([first], iterator):
            mail.add(line)
        yield bytes(mail.text)
        return
    from_line = b""  # the line before, if the next line decides what it is
    for line in iterator:
        if from_line:
            if _FIELD.match(line):
                yield mail.before_blank()
                mail = _Mail()
            else:
                mail.add(from_line)
            from_line = b""
        if mail.last in _BLANK and _FROM_LINE.fullmatch(line):
            from_line = line
        else:
            mail.add(line)
    if from_line:
        mail.add(from_line)
    yield mail.before_blank()


class _Mail:
    """The beginning of a mail, and its last line."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.last = b""

    def add(self, line: bytes) -> None:
        """Add a line."""
        self.last = line
        if len(self.text) < MAX_BYTES:
            self.text += line

    def before_blank(self) -> bytes:
        """Return the mail without a blank line at its end."""
        end = self.last if self.last in _BLANK else b""
        return bytes(self.text.removesuffix(end))


def read_mail(
    raw: bytes,
    now: int,
    *,
    recipient: Recipient = "original",
    verp: re.Pattern[str] | None = None,
) -> Batch:
    """Return the failed and delayed recipients in the mail *raw*.

    :param now: Unix time of receipt.
    :param recipient: the address to take where forwarding changed it.
    :param verp: form of the envelope addresses, as compiled by ``compile_verp``.
    """
    try:
        return _read(raw, Options(now, recipient, verp))
    except RecursionError:
        problem = "the parts are nested too deeply"
    except MIME_ERRORS as error:
        problem = f"the MIME structure is broken: {error}"
    finally:
        forget_unknown_charsets()
    return Batch(skipped=(f"unreadable mail: {problem}",))


def _read(raw: bytes, options: Options, *, may_unwrap: bool = True) -> Batch:
    context = Context(raw, options)
    for step in (_veto, _from_reports, _from_notification):
        if batch := step(context):
            return batch
    if may_unwrap and context.mail.is_wrapped:
        return _read(
            context.mail.attached.encode(errors="replace"), options, may_unwrap=False
        )
    return _from_candidates(context)


def _veto(context: Context) -> Batch | None:
    kind = vetoes.find_veto(context.mail)
    return Batch(ignored={kind: 1}) if kind else None


def _from_reports(context: Context) -> Batch | None:
    """Read the delivery status notification, also inside the text of broken MIME."""
    reports = context.reports or _quoted_reports(context)
    outcomes = Counter(report.outcome for report in reports)
    failed = [report for report in reports if report.outcome != "delivered"]
    others = [report for report in reports if report.outcome == "delivered"]
    shown = [*failed[:MAX_RECIPIENTS], *others[:MAX_RECIPIENTS]]
    emails = [report.email(context.options.recipient) for report in shown]
    events: dict[str, BounceEvent] = {}
    for report, email in zip(failed[:MAX_RECIPIENTS], emails, strict=False):
        if email:
            event = _report_event(context, report, email, emails)
            known = events.setdefault(email.lower(), event)
            if event.is_listed and not known.is_listed:  # a delay came first
                events[email.lower()] = event
    if events:
        unreadable = any(report.is_unreadable for report in failed)
        skipped = (*_too_many(failed), *((UNREADABLE,) if unreadable else ()))
        return Batch(tuple(events.values()), skipped=skipped)
    return Batch(ignored=outcomes) if set(outcomes) == {"delivered"} else None


def _too_many(recipients: Sequence[object]) -> tuple[str, ...]:
    """Return the problem if there are more *recipients* than are read."""
    if len(recipients) <= MAX_RECIPIENTS:
        return ()
    return (f"a bounce mail with more than {MAX_RECIPIENTS} recipients",)


def _quoted_reports(context: Context) -> list[RecipientReport]:
    if not vetoes.is_failure(context.mail):  # a person may quote a report
        return []
    return [r for r in read_reports([context.mail.text]) if r.original or r.final]


def _report_event(
    context: Context, report: RecipientReport, email: str, emails: list[str]
) -> BounceEvent:
    status, code, reason = report.status, report.code, report.reason
    if is_vague(status) or not code or not reason:
        passage = context.passages.find(email, emails)
        if is_vague(status) and passage.status[:1] == (code or status or "5")[:1]:
            status = choose_status(status, passage.status, code)
        code, reason = code or passage.code, reason or passage.reason
    is_delayed = report.outcome == "delayed"
    return context.event(
        email, status=status, code=code, reason=reason, is_delayed=is_delayed
    )


def _from_notification(context: Context) -> Batch | None:
    now = context.options.now
    return ses.find_notification(context.mail.text, now, MAX_RECIPIENTS)


def _from_candidates(context: Context) -> Batch:
    """Read mails without a usable report."""
    if not vetoes.is_failure(context.mail):
        return Batch(ignored={"not a bounce": 1})
    for find in _FINDERS:
        emails, is_delayed = find(context)
        skipped = _too_many(emails)
        emails = emails[:MAX_RECIPIENTS]
        if events := _text_events(context, emails, is_delayed=is_delayed):
            return Batch(tuple(events), skipped=skipped)
    return Batch(skipped=("a bounce mail without a recipient",))


def _text_events(
    context: Context, emails: list[str], *, is_delayed: bool
) -> list[BounceEvent]:
    is_delayed = is_delayed or vetoes.is_delayed(context.text)
    reports = context.reports
    status = next((r.status for r in reports if r.outcome == "failed"), "")
    events = []
    for email in emails:
        passage = context.passages.find(email, emails)
        try:
            event = context.event(
                email,
                status=choose_status(status, passage.status, passage.code),
                code=passage.code,
                reason=passage.reason,
                is_delayed=is_delayed,
                is_temporary=passage.is_temporary,
            )
        except EventError:
            continue
        events.append(event)
    return events


def _in_header(context: Context) -> tuple[list[str], bool]:
    return find_addresses(context.mail.all("X-Failed-Recipients")), False


def _in_envelope(context: Context) -> tuple[list[str], bool]:
    verp = context.options.verp
    email = find_verp(context.mail, verp) if verp else ""
    return [email] if email else [], False


def _by_flufl(context: Context) -> tuple[list[str], bool]:
    failed, delayed = flufl.find_with_flufl(normalize(context.raw))
    for emails, is_delayed in ((failed, False), (delayed, True)):
        if known := [e for e in emails if e.lower() not in context.strangers]:
            return known, is_delayed
    return [], False


def _in_text(context: Context) -> tuple[list[str], bool]:
    emails = find_failed(context.text, context.strangers, context.addressed)
    return [email for email in emails if not is_role(email)], False


#: Finders of failed recipients, surest first. Each returns addresses, and whether the
#: mail systems still try to deliver to them.
_FINDERS: tuple[Callable[[Context], tuple[list[str], bool]], ...] = (
    _in_header,
    _in_envelope,
    _by_flufl,
    _in_text,
)
