"""Gunicorn reads this beside wsgi.py; its own flags win over it."""

import json
import os
import sys
from contextlib import closing

from sendgrid_bounces.app import open_emulator, plant_files, seed_files
from sendgrid_bounces.config import FILE, PLANTED, configured, settings, variables
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.logs import check_writable
from sendgrid_bounces.server import options
from sendgrid_bounces.sockets import authority
from sendgrid_bounces.tls import server_context


def on_starting(_server):
    """Open the database, and plant the seeds, once: not in each worker."""
    try:
        emulator = open_emulator(_settings, Clock(), _seeds)
        with closing(emulator.storage):
            plant_files(emulator)
    except BounceError as error:
        sys.exit(f"Error: {error}")


def when_ready(server):
    """Say where it listens: the port may have been any."""
    for listener in server.LISTENERS:
        print(f"Listening on {listener}", flush=True)


try:
    _settings = settings(configured(os.environ))
    _seeds = seed_files(_settings)
    server_context(_settings["SSL_CERT"], _settings["SSL_KEY"])
    check_writable(_settings["ACCESS_LOG"])
except BounceError as error:
    sys.exit(f"Error: {error}")
# The workers take all settings from here, and do not read the settings file again.
os.environ[PLANTED] = json.dumps(_seeds)
os.environ.update(variables(_settings))
os.environ.pop(FILE, None)
globals().update(options(_settings))
bind = authority(_settings["HOST"], int(_settings["PORT"]))
