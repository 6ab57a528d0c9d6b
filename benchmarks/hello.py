"""The baseline of small calls: Flask that does nothing."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.get("/")
def hello() -> tuple[bytes, dict[str, str]]:
    """Answer a few bytes."""
    return b'{"message": "success"}', {"Content-Type": "application/json"}
