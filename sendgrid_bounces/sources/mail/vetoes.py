"""Mails that are not bounces: complaints, receipts, vacation replies, deliveries."""

from sendgrid_bounces.sources.mail.message import Mail
from sendgrid_bounces.sources.mail.words import (
    DELAYED,
    FAILURE_SUBJECT,
    FAILURE_TEXT,
    MAIL_SYSTEM,
    MAILER_DAEMON,
    REPLY_SUBJECT,
    SUCCESS,
    VACATION_SUBJECT,
)
from sendgrid_bounces.sources.status import find_code, find_status

_VACATION_HEADERS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Auto-Reply",
    "X-Vacation",
    "X-Mail-Autoreply",
)


def find_veto(mail: Mail) -> str:
    """Return the kind of a mail that is not a bounce, or an empty text."""
    report = str(mail.headers.get_param("report-type") or "").lower()
    if report == "feedback-report" or "text/x-feedback-report" in mail.part_types:
        return "complaint"
    if report == "disposition-notification" and "rejected" not in mail.text:
        return "receipt"
    if _is_vacation(mail):
        return "vacation"
    return "delivered" if _is_success(mail) else ""


def is_failure(mail: Mail) -> bool:
    """Whether the sender and the words suggest a report on a failed delivery."""
    if MAILER_DAEMON.search(_senders(mail)):
        return True
    text, subject = mail.text, mail.header("Subject")
    has_subject = bool(FAILURE_SUBJECT.search(subject))
    has_code = bool(find_status(text) or find_code(text))
    has_text = has_code or bool(FAILURE_TEXT.search(text))
    if _is_from_system(mail):
        return has_subject or has_text
    if REPLY_SUBJECT.search(subject):
        return False
    return has_text and (has_subject or (_has_null_sender(mail) and has_code))


def is_delayed(text: str) -> bool:
    """Whether *text*, without the returned mail, announces further attempts."""
    return bool(DELAYED.search(text))


def _is_from_system(mail: Mail) -> bool:
    """Whether a mail system sent the mail, by its type or its senders."""
    is_report = mail.headers.get_content_type() == "multipart/report"
    return is_report or bool(MAIL_SYSTEM.search(_senders(mail)))


def _has_null_sender(mail: Mail) -> bool:
    return mail.header("Return-Path").strip() == "<>"


def _is_success(mail: Mail) -> bool:
    """Whether free text reports a delivery."""
    if mail.reports or FAILURE_SUBJECT.search(mail.header("Subject")):
        return False
    return bool(SUCCESS.search(mail.text)) and not find_code(mail.text)


def _senders(mail: Mail) -> str:
    return " ".join(mail.header(name) for name in ("From", "Sender", "Return-Path"))


def _is_vacation(mail: Mail) -> bool:
    if mail.headers.get_content_type() == "multipart/report" or mail.reports:
        return False
    if mail.headers.get("X-Failed-Recipients"):
        return False
    if MAIL_SYSTEM.search(mail.header("From")):
        return False
    submitted = mail.header("Auto-Submitted").lower()
    return (
        submitted.startswith(("auto-replied", "auto-notified"))
        or any(name in mail.headers for name in _VACATION_HEADERS)
        or mail.header("Precedence").lower() in {"auto_reply", "auto-reply"}
        or bool(VACATION_SUBJECT.search(mail.header("Subject")))
        or "vacation" in mail.header("X-Apple-Action").lower()
    )
