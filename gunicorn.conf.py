"""Gunicorn reads this beside wsgi.py; its own flags win over it."""

import os

from sendgrid_bounces.config import from_environment, settings
from sendgrid_bounces.server import options

_settings = settings(from_environment(os.environ))
globals().update(options(_settings))
bind = f"{_settings['HOST']}:{_settings['PORT']}"
