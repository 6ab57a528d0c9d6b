"""The WSGI entry point of a clone: ``gunicorn wsgi:app``."""

from sendgrid_bounces.wsgi import app, application

__all__ = ["app", "application"]
