"""The WSGI entry point: ``gunicorn wsgi:app``.

Settings come from environment variables ``SENDGRID_BOUNCES_...``, and from the file
that ``SENDGRID_BOUNCES_CONFIG`` names.
"""

import json
import os
import sys
import time

from sendgrid_bounces.app import create_app
from sendgrid_bounces.config import LOADED_SEEDS, load_config
from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.server.gunicorn_app import RETRY_SECONDS

#: Gunicorn's exit code of a worker that is not to be started again.
APP_LOAD_ERROR = 4

_loaded_seeds = os.environ.get(LOADED_SEEDS)

if _loaded_seeds is None and os.environ.get("SERVER_SOFTWARE", "").startswith(
    "gunicorn"
):
    print(
        "Warning: Gunicorn has not read gunicorn.conf.py, and writes API keys into its "
        "logs: start it in the folder of that file, or with -c FILE",
        file=sys.stderr,
    )

try:
    application = app = create_app(
        load_config(os.environ),
        loaded_seeds=None if _loaded_seeds is None else json.loads(_loaded_seeds),
    )
except StorageError as error:  # it may answer again: another worker tries
    time.sleep(RETRY_SECONDS)
    sys.exit(f"Error: {error}")
except BounceError as error:
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(APP_LOAD_ERROR)
