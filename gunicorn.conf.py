"""Settings for Gunicorn, which reads this file if it starts in this folder."""

from sendgrid_bounces.gunicorn_conf import *  # noqa: F403 - one name per setting
