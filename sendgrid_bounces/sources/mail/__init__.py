"""Bounce mails: delivery status notifications and the free texts of mail systems."""

from sendgrid_bounces.sources.mail.message import MAX_BYTES
from sendgrid_bounces.sources.mail.reader import MAX_RECIPIENTS, read_mail, split_mails
from sendgrid_bounces.sources.mail.verp import compile_verp

__all__ = ["MAX_BYTES", "MAX_RECIPIENTS", "compile_verp", "read_mail", "split_mails"]
