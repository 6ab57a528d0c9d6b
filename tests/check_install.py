"""Install the built wheel and sdist without an index, and serve the demo.

Usage: ``python tests/check_install.py DIST WHEELS``, with the folder of the built
archives and a folder with the wheels of all dependencies.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from urllib.request import urlopen

COUNT = "/api/bounces.count.json?api_user=demo&api_key=demo"
TIMEOUT = 60


def check(dist: Path, wheels: Path) -> None:
    """Install each archive in a virtual environment of its own."""
    for archive in (*dist.glob("*.whl"), *dist.glob("*.tar.gz")):
        with tempfile.TemporaryDirectory() as folder:
            bin_folder = Path(folder, "venv", "bin")
            venv.create(bin_folder.parent, with_pip=True)
            links = ("--no-index", "--find-links", wheels.resolve())
            install = (bin_folder / "pip", "install", "-q", *links, archive.resolve())
            subprocess.run(install, cwd=folder, check=True)
            print(f"{archive.name}: {_serve(bin_folder, folder)}")


def _serve(bin_folder: Path, folder: str) -> object:
    """Start the demo from *folder*; return the response to a call."""
    process = subprocess.Popen(
        [bin_folder / "sendgrid-bounces", "serve", "--demo", "--port", "0"],
        cwd=folder,
        # Without the time zones of the system.
        env={"PATH": os.defpath, "PYTHONTZPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        url = process.stdout.readline().removeprefix("Listening on ").strip()
        with urlopen(f"{url}{COUNT}", timeout=TIMEOUT) as answer:  # noqa: S310 - http
            counted = json.load(answer)
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)
    if counted != {"count": "6"}:
        sys.exit(f"unexpected response: {counted}")
    return counted


if __name__ == "__main__":
    check(Path(sys.argv[1]), Path(sys.argv[2]))
