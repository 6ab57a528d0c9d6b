"""The HTTP server: Gunicorn with the sockets, TLS and logs of this application."""
