"""The migration report: how to replace the logged calls of SendGrid v2."""

from flask import Response

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.pages.web import page, render


@page("/ui/migration")
def migration(control: Control) -> Response:
    """Show each distinct call, the requests that replace it, and the differences."""
    return render(control, "migration.html", report=control.migration())
