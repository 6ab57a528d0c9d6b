"""The WSGI entry point: ``gunicorn wsgi:app``.

Settings come from environment variables ``SENDGRID_BOUNCES_...``, and from the file
that ``SENDGRID_BOUNCES_CONFIG`` names.
"""

import json
import os
import sys
import time

from sendgrid_bounces.app import create_app
from sendgrid_bounces.config import PLANTED, configured
from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.server import RETRY_SECONDS

#: Gunicorn's exit code of a worker that is not to be started again.
APP_LOAD_ERROR = 4

_planted = os.environ.get(PLANTED)

if _planted is None and os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
    print(
        "Warning: Gunicorn has not read gunicorn.conf.py, and writes API keys into its "
        "logs: start it in the folder of that file, or with -c FILE",
        file=sys.stderr,
    )

try:
    application = app = create_app(
        configured(os.environ),
        planted=None if _planted is None else json.loads(_planted),
    )
except StorageError as error:  # it may answer again: another worker tries
    time.sleep(RETRY_SECONDS)
    sys.exit(f"Error: {error}")
except BounceError as error:
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(APP_LOAD_ERROR)
