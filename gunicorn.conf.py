"""Gunicorn reads this beside wsgi.py; its own flags win over it."""

import json
import os
import sys
from contextlib import closing

from sendgrid_bounces.app import load_seed_files, open_emulator, seed_paths
from sendgrid_bounces.config import FILE, LOADED_SEEDS, load_config, settings, variables
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.server.access_log import check_writable
from sendgrid_bounces.server.gunicorn_app import options
from sendgrid_bounces.server.sockets import authority
from sendgrid_bounces.server.tls import server_context


def on_starting(_server):
    """Open the database, and plant the seeds, once: not in each worker."""
    try:
        emulator = open_emulator(_settings, Clock(), _seeds)
        with closing(emulator.storage):
            load_seed_files(emulator)
    except BounceError as error:
        sys.exit(f"Error: {error}")


def when_ready(server):
    """Say where it listens: the port may have been any."""
    for listener in server.LISTENERS:
        print(f"Listening on {listener}", flush=True)


try:
    _settings = settings(load_config(os.environ))
    _seeds = seed_paths(_settings)
    server_context(_settings["SSL_CERT"], _settings["SSL_KEY"])
    check_writable(_settings["ACCESS_LOG"])
except BounceError as error:
    sys.exit(f"Error: {error}")
# The workers take all settings from here, and do not read the settings file again.
os.environ[LOADED_SEEDS] = json.dumps(_seeds)
os.environ.update(variables(_settings))
os.environ.pop(FILE, None)
globals().update(options(_settings))
bind = authority(_settings["HOST"], int(_settings["PORT"]))
