"""The baseline of small requests: bare Flask."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.get("/")
def hello() -> tuple[bytes, dict[str, str]]:
    """Return a few bytes."""
    return b'{"message": "success"}', {"Content-Type": "application/json"}
