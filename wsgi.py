"""The WSGI entry point: ``gunicorn wsgi:app``.

Settings come from environment variables ``SENDGRID_BOUNCES_...``.
"""

import os

from sendgrid_bounces.app import create_app
from sendgrid_bounces.config import from_environment

application = app = create_app(from_environment(os.environ))
