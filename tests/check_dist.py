"""Check the files of the built wheel and sdist: ``python tests/check_dist.py DIST``."""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _tree(*patterns: str) -> set[str]:
    """Return the matching files of the repository, as relative paths."""
    return {
        path.relative_to(ROOT).as_posix()
        for pattern in patterns
        for path in ROOT.glob(pattern)
        if path.is_file() and not {"__pycache__", "_build"} & {*path.parts}
    }


def check(folder: Path) -> None:
    """Compare the files of the archives with those of the repository."""
    package = _tree("sendgrid_bounces/**/*")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    _compare(wheel, package, names)

    with tarfile.open(sdist) as archive:
        members = {m.name.partition("/")[2] for m in archive if m.isfile()}
    made = {name for name in members if ".egg-info/" in name} | {"PKG-INFO"}
    top = {
        *(".ci/run", ".dockerignore", ".pre-commit-config.yaml", ".readthedocs.yaml"),
        *(".ruff.toml", "CHANGES.rst", "Dockerfile", "LICENSE", "MANIFEST.in"),
        *("README.rst", "compose.yaml", "gunicorn.conf.py", "requirements.txt"),
        *("setup.cfg", "setup.py", "wsgi.py"),
    }
    tests = _tree(
        ".github/**/*",
        "tests/**/*",
        "examples/*",
        "docs/**/*",
        "benchmarks/**/*",
        "tools/**/*",
    )
    _compare(sdist, package | top | tests, members - made)
    print(f"{wheel.name}: {len(names)} files, {sdist.name}: {len(members)} files")


def _compare(archive: Path, expected: set[str], found: set[str]) -> None:
    missing, extra = sorted(expected - found), sorted(found - expected)
    if missing or extra:
        sys.exit(f"{archive.name}: missing {missing}, not expected {extra}")


if __name__ == "__main__":
    check(Path(sys.argv[1]))
