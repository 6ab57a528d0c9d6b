"""The settings: one table of what can be set, its default and what it does.

Each is an environment variable ``SENDGRID_BOUNCES_<NAME>``, which wins over a settings
file, and where it makes sense an option of ``sendgrid-bounces serve``, which wins over
both.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sendgrid_bounces.core.accounts import PROFILES
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.redaction import INVALID_NAME, is_printable_name

PREFIX = "SENDGRID_BOUNCES_"

#: The variable in which ``gunicorn.conf.py`` tells the workers of the seed files that
#: it has planted. It is no setting.
LOADED_SEEDS = "_SENDGRID_BOUNCES_PLANTED"

#: The variable that names the settings file.
FILE = f"{PREFIX}CONFIG"

#: What follows the prefix where a variable is no setting of the program: the one of the
#: settings file, those of the tests, and those that Docker and Kubernetes make for a
#: service of its name.
_NO_SETTING = re.compile("CONFIG=|TEST_|SERVICE_|PORT_|PORT=[a-z]+://")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, default, help, and the values it may have (any if none).

    :param bounds: of a whole number, the least and the greatest.
    :param is_list: whether it is several texts, separated as in ``PATH``.
    :param pattern: what the whole of a value matches, and *rule* in words.
    """

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    is_list: bool = False
    pattern: str = ""
    rule: str = ""

    def fault(self, value: str) -> str | None:
        """Return what is wrong with *value*, if anything is."""
        if self.choices and value not in self.choices:
            return f"must be {' or '.join(self.choices)}"
        if self.bounds and not _is_within(value, *self.bounds):
            return "must be a whole number from {} to {}".format(*self.bounds)
        if self.pattern and not re.fullmatch(self.pattern, value):
            return self.rule
        return None

    def read(self, written: Any) -> str:
        """Return the value that it has where a settings file says *written*.

        :raises ValueError: saying what is wrong with it.
        """
        if self.is_list and isinstance(written, list):
            if not all(isinstance(t, str) and os.pathsep not in t for t in written):
                raise ValueError(f"must be a list of texts without {os.pathsep!r}")
            written = os.pathsep.join(written)
        if isinstance(written, bool) or not isinstance(written, str | int):
            raise ValueError("must be text or a whole number")  # noqa: TRY004 - as below
        if fault := self.fault(str(written)):
            raise ValueError(fault)
        return str(written)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name


SETTINGS = (
    Setting(
        "DATABASE_URL",
        "sqlite:///sendgrid-bounces.sqlite3",
        "The database: sqlite:///FILE, or mysql://USER:PASSWORD@HOST:3306/NAME.",
    ),
    Setting(
        "SEED",
        "",
        "Seed files to store at the start, separated as in PATH.",
        is_list=True,
    ),
    Setting(
        "AUTH",
        "strict",
        "Who may call: accounts with their keys, or any, made on first use.",
        ("strict", "any"),
    ),
    Setting(
        "PROFILE",
        "documented",
        "What accounts see that have no profile of their own.",
        PROFILES,
    ),
    Setting("HOST", "127.0.0.1", "The address to listen on."),
    Setting(
        "PORT",
        "8000",
        "The port to listen on; 0 takes a free one.",
        bounds=(0, 65_535),
    ),
    Setting("WORKERS", "2", "How many processes answer.", bounds=(1, 64)),
    Setting(
        "THREADS",
        "16",
        "How many requests a process answers at a time: each slow reader takes one.",
        bounds=(1, 256),
    ),
    Setting(
        "TIMEOUT",
        "30",
        "Seconds that a client may send or take nothing before it is let go.",
        bounds=(1, 3_600),
    ),
    Setting("SSL_CERT", "", "The certificate to speak TLS with: a file in PEM."),
    Setting("SSL_KEY", "", "The file of the certificate's key, in PEM."),
    Setting(
        "ACCESS_LOG",
        "",
        "Where requests are logged, credentials masked: a file, or - for stderr.",
    ),
    Setting(
        "KEY_HASH",
        "scrypt",
        "How API keys are hashed: scrypt, or with its costs, as scrypt:32768:8:1.",
        pattern="scrypt(:[0-9]{1,9}:[0-9]{1,9}:[0-9]{1,9})?",
        rule="must be scrypt, or scrypt:N:r:p",
    ),
    Setting(
        "CONTROL",
        "auto",
        "Whether the control endpoints are there; auto: on loopback, or with a token.",
        ("auto", "on", "off"),
    ),
    Setting(
        "CONTROL_TOKEN",
        "",
        "What callers of the control endpoints must know.",
        pattern="[!-~]{0,256}",
        rule="must be at most 256 visible ASCII characters",
    ),
    Setting(
        "JOURNAL_SIZE",
        "1000",
        "How many requests the journal holds, with control; 0 turns it off.",
        bounds=(0, 999_999),
    ),
)


def settings(*sources: Mapping[str, str]) -> dict[str, str]:
    """Return all settings, from the defaults and *sources*; the last one wins.

    :raises ParametersError: if a name is unknown or a value is none that it may have.
    """
    values = {setting.name: setting.default for setting in SETTINGS}
    for source in sources:
        values.update(source)
    known = {setting.name: setting for setting in SETTINGS}
    faults = []
    for name, value in values.items():
        if name not in known:
            faults.append((PREFIX + name, "no such setting"))
        elif fault := known[name].fault(value):
            faults.append((PREFIX + name, fault))
    if faults:
        raise ParametersError(faults)
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that *environment* holds, without the prefix.

    What is empty is not set. What an orchestrator adds for a service of this name is
    none of ours.
    """
    return {
        name.removeprefix(PREFIX): value
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and value
        and not _NO_SETTING.match(f"{name}={value}", len(PREFIX))
    }


def split_paths(value: str) -> list[str]:
    """Return the paths that the *value* of a list names, separated as in ``PATH``."""
    return [path for path in value.split(os.pathsep) if path]


def variables(values: Mapping[str, str]) -> dict[str, str]:
    """Return the settings *values* as environment variables."""
    return {PREFIX + name: value for name, value in values.items()}


def from_file(path: str) -> dict[str, str]:
    """Return the settings that the file *path* holds, a mapping in YAML or JSON.

    Names are in small letters; ``seed`` may be a list. What is null is not set.

    :raises ParametersError: with every fault, each of which begins with the path.
    """
    from sendgrid_bounces.schemas import loader  # PyYAML is for those who have a file

    try:
        document = loader.parse(loader.read_text(path))
        return _from_document({} if document is None else document)
    except ParametersError as error:
        raise error.within(path, ": ") from None


def load_config(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of *environment*, and below them those of its file."""
    file = environment.get(FILE)
    return {**(from_file(file) if file else {}), **from_environment(environment)}


def _from_document(document: Any) -> dict[str, str]:
    if not isinstance(document, dict):
        raise ParametersError([("", "must be a mapping of settings")])
    known = {setting.name.lower(): setting for setting in SETTINGS}
    values, faults = {}, []
    for name, written in document.items():
        if not is_printable_name(name):
            faults.append(("", INVALID_NAME))
        elif name not in known:
            there_are = ", ".join(known)
            faults.append((str(name), f"no such setting; there are {there_are}"))
        elif written is not None:
            try:
                values[known[name].name] = known[name].read(written)
            except ValueError as error:
                faults.append((name, str(error)))
    if faults:
        raise ParametersError(faults)
    return values


def _is_within(text: str, least: int, greatest: int) -> bool:
    """Tell whether *text* is a whole number from *least* to *greatest*."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(greatest))
    return is_number and least <= int(text) <= greatest
