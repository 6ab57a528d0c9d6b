"""The command line: ``sendgrid-bounces``."""

from sendgrid_bounces.cli.main import main

__all__ = ["main"]
