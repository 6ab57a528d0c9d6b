"""The sources of real bounces, and what has arrived from each."""

from flask import Response

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.sources import COUNTERS
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.web import page, render
from sendgrid_bounces.web.requests import request


@page("/ui/sources")
def sources(control: Control) -> Response:
    """Show the sources, their counters and their last problems."""
    return render(
        control,
        "sources.html",
        sources=current_emulator().storage.sources.all(),
        counters=COUNTERS,
        pulls=control.pulls(),
        base=request.server_url,
    )
