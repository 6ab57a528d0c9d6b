"""The blueprint of the control endpoints, with all routes."""

from sendgrid_bounces.control import account_views, bounce_views, source_views, views
from sendgrid_bounces.control.api import bp

#: The modules that register the routes.
MODULES = (views, account_views, bounce_views, source_views)

__all__ = ["MODULES", "bp"]
