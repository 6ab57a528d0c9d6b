"""An emulator of the bounce APIs of SendGrid (v2, v3) and Mailgun (v2, v3)."""

__version__ = "1.0.0"
