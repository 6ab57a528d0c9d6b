"""The settings: one table of what can be set, its default and what it does.

Each is an environment variable ``SENDGRID_BOUNCES_<NAME>`` and, where it makes sense,
an option of ``sendgrid-bounces serve`` that wins over it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sendgrid_bounces.core.errors import ParametersError

PREFIX = "SENDGRID_BOUNCES_"

#: The variable in which ``gunicorn.conf.py`` tells the workers of the seed files that
#: it has planted. It is no setting.
PLANTED = "_SENDGRID_BOUNCES_PLANTED"

#: What follows the prefix in variables that are not settings of the program: those of
#: its tests, and those that Docker and Kubernetes make for a service of its name.
_FOREIGN = re.compile("TEST_|SERVICE_|PORT_")

#: What an account, or all that have no profile of their own, may be shown.
PROFILES = ("documented", "recorded")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, default, help, and the values it may have (any if none).

    :param pattern: what the whole of a value matches, besides, and *rule* in words.
    """

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    rule: str = ""

    def fault(self, value: str) -> str | None:
        """Return what is wrong with *value*, if anything is."""
        if self.choices and value not in self.choices:
            return f"must be {' or '.join(self.choices)}"
        if self.default.isdigit() and not (value.isascii() and value.isdigit()):
            return "must be a whole number"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return self.rule
        return None

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
    Setting("PORT", "8000", "The port to listen on; 0 takes a free one."),
    Setting("WORKERS", "2", "How many processes answer."),
    Setting(
        "THREADS",
        "16",
        "How many requests a process answers at a time: each slow reader takes one.",
    ),
    Setting(
        "TIMEOUT",
        "30",
        "Seconds that a client may send or take nothing before it is let go.",
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
        pattern="[0-9]{1,6}",
        rule="must be at most 999999",
    ),
)


def settings(*sources: Mapping[str, str]) -> dict[str, str]:
    """Return all settings, from the defaults and *sources*; the last one wins.

    :raises ParametersError: if a name is unknown or a value is none of the choices.
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

    What an orchestrator adds for a service of this name is none of ours.
    """
    return {
        name.removeprefix(PREFIX): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not _FOREIGN.match(name, len(PREFIX))
    }
