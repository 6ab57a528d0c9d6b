"""The WSGI entry point, ``sendgrid_bounces.wsgi:app``.

Its settings come from environment variables ``SENDGRID_BOUNCES_...`` and from the file
that ``SENDGRID_BOUNCES_CONFIG`` names.
"""

import os
import sys

from sendgrid_bounces.server.gunicorn_app import load_app

# A Gunicorn master with gunicorn_conf has read the settings and prepared the database.
# Its workers inherit that module; importing it here would repeat both.
_conf = sys.modules.get("sendgrid_bounces.gunicorn_conf")

if _conf is None and os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
    sys.stderr.write(
        "Warning: Gunicorn logs API keys unless it uses "
        "-c python:sendgrid_bounces.gunicorn_conf\n"
    )

application = app = load_app(_conf.CONFIG, _conf.DATABASE) if _conf else load_app(None)
