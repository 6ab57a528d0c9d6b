"""An emulator of the SendGrid v2 and Mailgun v2/v3 bounce APIs."""

__version__ = "1.0.0"
