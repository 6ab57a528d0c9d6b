"""The files of the project agree with each other."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from gunicorn.workers.gthread import ThreadWorker
from live import ROOT

from sendgrid_bounces.server.worker import Worker

CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _lines(section: str, option: str) -> list[str]:
    return CONFIG[section][option].strip().splitlines()


def _commands(workflow: Path) -> str:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return "\n".join(step.get("run", "") for job in jobs for step in job["steps"])


def test_python_versions_agree() -> None:
    """Classifiers, tox and the matrix of CI name the same versions."""
    classifiers = _lines("metadata", "classifiers")
    versions = [c.rpartition(" ")[2] for c in classifiers if "Python :: 3." in c]

    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert ci["jobs"]["tests"]["strategy"]["matrix"]["python"] == versions
    minors = ",".join(version.removeprefix("3.") for version in versions)
    assert f"py3{{{minors}}}" in CONFIG["tox:tox"]["env_list"]
    assert CONFIG["options"]["python_requires"] == f">={versions[0]}"


def test_lowest_versions_are_those_of_setup_cfg() -> None:
    """The constraints pin each range to its start."""
    lowest = (ROOT / "tests" / "lowest.txt").read_text().splitlines()[1:]
    ranges = _lines("options", "install_requires")

    assert [re.sub("==(.*?)(?:\\.0)*$", r">=\1", line) for line in lowest] == ranges


def test_pre_commit_has_the_ruff_of_the_extra() -> None:
    """Otherwise the two format differently."""
    (pin,) = [p for p in _lines("options.extras_require", "lint") if "ruff" in p]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]

    pins = [hook["additional_dependencies"] for hook in hooks if "ruff" in hook["id"]]
    assert pins == [[pin], [pin]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_what_exists(workflow: Path) -> None:
    """Tox environments, scripts and markers."""
    commands = _commands(workflow)
    environments = {
        section.partition(":")[2] for section in CONFIG if section.startswith("testenv")
    }
    markers = {line.partition(":")[0] for line in _lines("tool:pytest", "markers")}

    named = re.findall(r"tox run -e (\S+)", commands)
    assert {name for names in named for name in names.split(",")} <= environments
    for script in re.findall(r"(?:python|bash) ([\w./]+)", commands):
        assert (ROOT / script).exists()
    for expression in re.findall(r'pytest -m "(.*)"', commands):
        assert set(re.findall(r"\w+", expression)) <= markers | {"and", "not", "or"}


def test_contributing_names_files_that_exist() -> None:
    """Paths are relative to the repository, or to the package or one of its folders."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    package = ROOT / "sendgrid_bounces"
    folders = [ROOT, package, *(path for path in package.glob("*/") if path.is_dir())]
    folders += [package / "dialects" / "sendgrid", package / "dialects" / "mailgun"]

    paths = re.findall(r"`(\w[\w./-]*(?:\.(?:py|rst|http|cfg)|/))`", text)
    assert len(paths) > 30
    assert [p for p in paths if not any((f / p).exists() for f in folders)] == []


def test_security_model_names_tests_and_measures_that_exist() -> None:
    """Each promise has at least one test or measure."""
    text = (ROOT / "docs/explanation/security.rst").read_text()
    promises = text.partition("\nPromises\n")[2].partition("\nAPI keys\n")[0]
    rows = promises.split("\n   * - ")[2:]
    measures = "".join(path.read_text() for path in ROOT.glob("benchmarks/*.py"))

    assert len(rows) > 12
    for row in rows:
        names = re.findall(r"``([^`]+)``", row.partition("\n     - ")[2])
        tests = [name for name in names if name.endswith(".py")]
        assert tests, row
        assert [name for name in tests if not (ROOT / "tests" / name).exists()] == []
        others = {*names} - {*tests}
        assert [name for name in others if f'"{name}": ' not in measures] == []


def test_security_model_names_the_overridden_methods_of_gunicorn() -> None:
    """The table has a reason for each, and no other method."""
    text = (ROOT / "docs/explanation/security.rst").read_text()
    table = text.partition("\nSlow clients\n")[2].partition("\nTLS\n")[0]
    rows = re.findall(r"\n   \* - ``(\w+)``\n     - \w", table)

    methods = [name for name, value in vars(Worker).items() if callable(value)]
    assert sorted(rows) == sorted(m for m in methods if hasattr(ThreadWorker, m))
