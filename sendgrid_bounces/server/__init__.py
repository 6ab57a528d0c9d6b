"""Gunicorn with the settings, sockets and logs of this application."""
