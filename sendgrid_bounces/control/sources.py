"""The part of the control service that manages sources."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sendgrid_bounces.control.documents import SourceReport
from sendgrid_bounces.core.errors import NameTakenError, ParametersError
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.sources import Source, SourceSettings
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.schemas.sources import read_source
from sendgrid_bounces.storage.engine import Engine


class SourceControl:
    """The sources of one emulator."""

    emulator: Emulator

    def sources(self) -> list[SourceReport]:
        """Return the sources, sorted by name."""
        return [_report(source) for source in self.emulator.storage.sources.all()]

    def pulls(self) -> list[Pull]:
        """Return the latest pull into each list, sorted by owner."""
        return self.emulator.storage.pulls.all()

    def add_source(self, source: Mapping[str, Any]) -> SourceReport:
        """Add a source, and return it.

        :param source: its fields, as in a seed file.
        :raises ParametersError: if a field is invalid, or a file cannot be read.
        :raises UnknownNameError: if the owner does not exist.
        :raises ConflictError: if the source exists.
        """
        from sendgrid_bounces import seeding  # loads PyYAML

        storage = self.emulator.storage
        seed = read_source(source)
        _check_files(seed.settings, storage.engine)
        storage.accounts.named_list(seed.owner)  # fail before hashing the token
        hashed = seeding.hash_token(storage, self.emulator.authenticator, seed)

        def add() -> None:
            if storage.sources.find(seed.name):
                raise NameTakenError(f"source {seed.name!r} already exists")
            seeding.apply_source(storage, hashed)

        storage.accounts.transact(add)
        return _report(storage.sources.get(seed.name))

    def remove_source(self, name: str) -> None:
        """Remove a source. The bounces that it added stay.

        :raises UnknownNameError: if it does not exist.
        """
        self.emulator.storage.sources.remove(name)


def _check_files(settings: SourceSettings, engine: Engine) -> None:
    """Check that the files with secrets can be read.

    :raises ParametersError: if one cannot.
    """
    problems = []
    for name, path in settings.files.items():
        if not (Path(path).is_file() and os.access(path, os.R_OK)):
            # The name is not repeated: it could be the key itself.
            problems.append((name, "is not a file that the server can read"))
        elif engine.is_stored_in(Path(path)):
            problems.append((name, f"{path} belongs to the database itself"))
    if problems:
        raise ParametersError(problems)


def _report(source: Source) -> SourceReport:
    return SourceReport(
        name=source.name,
        owner=source.owner,
        kind=source.kind,
        path=source.path,
        verified_by=source.settings.names,
        counts=source.counts,
        last_event=source.last_event,
        last_problem=source.last_problem,
        problem=source.problem,
        confirm_url=source.confirm_url,
    )
