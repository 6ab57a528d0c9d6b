"""SendGrid's SDK for Node.js, as the guide configures it; npm installs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from live import TIMEOUT

from sendgrid_bounces.testing import EmulatorServer

#: A version that is known to work; npm needs a registry or a cache.
PACKAGE = "@sendgrid/client@8"

SCRIPT = """
const client = require("@sendgrid/client");
client.setApiKey(process.env.API_KEY);
client.setDefaultRequest("baseUrl", process.env.SENDGRID_URL + "/");
const path = "/v3/suppression/bounces";
const send = async (method, url, options) => {
  try {
    const [response] = await client.request({ method, url, ...options });
    return [response.statusCode, response.body];
  } catch (error) {
    return [error.code, error.response.body];
  }
};
(async () => {
  const results = [
    await send("GET", path, { qs: { limit: 1 } }),
    await send("GET", `${path}/a+b@example.com`),
    await send("DELETE", `${path}/a+b@example.com`),
    await send("DELETE", `${path}/a+b@example.com`),
    await send("GET", `${path}/a+b@example.com`),
    await send("DELETE", path, { body: { emails: ["c@example.com"], delete_all: false } }),
    await send("DELETE", path, { body: { emails: ["c@example.com"] } }),
    await send("DELETE", path, { body: { delete_all: true } }),
  ];
  console.log(JSON.stringify(results));
})();
"""


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the SDK is installed."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            assert "CI" not in os.environ, f"CI must have {program}"
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", PACKAGE]
    ended = subprocess.run(
        install, cwd=folder, capture_output=True, timeout=TIMEOUT * 4, check=False
    )
    if ended.returncode:
        assert "CI" not in os.environ, f"CI must be able to install {PACKAGE}"
        pytest.skip(f"npm cannot install {PACKAGE}")
    return folder


@pytest.mark.docs
def test_node_sdk(folder: Path) -> None:
    """Paths are sent raw; 404 and 400 are errors."""
    with EmulatorServer() as server, server.double() as account:
        account.add("a+b@example.com", status="5.1.1", created=1)
        account.add("c@example.com", status="5.1.1", created=2)
        ended = subprocess.run(
            ["node", "-e", SCRIPT],
            cwd=folder,
            env={**os.environ, "API_KEY": account.api_key, "SENDGRID_URL": account.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        assert account.bounces() == []
    rows = [
        {"created": created, "email": email, "reason": "", "status": "5.1.1"}
        for created, email in ((2, "c@example.com"), (1, "a+b@example.com"))
    ]
    assert json.loads(ended.stdout) == [
        [200, rows[:1]],
        [200, rows[1:]],
        [204, ""],
        [404, _error("resource not found")],
        [200, []],
        [400, _error("emails and delete_all cannot both be set")],
        [204, ""],
        [204, ""],
    ]


def _error(message: str) -> dict:
    return {"errors": [{"field": None, "message": message}]}
