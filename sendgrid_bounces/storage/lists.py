"""The owners of bounce lists."""

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import AccountRow, DomainRow

#: A part of the message of a write to a list that does not exist.
FOREIGN_KEY = "foreign key constraint"


class ListStore:
    """The bounce lists in one database, each of an account, of domains, or of both."""

    _owners = Compiled(
        lambda engine: engine.compile(
            AccountRow.select(AccountRow.id).where(AccountRow.bounce_list == 0)
            | DomainRow.select(DomainRow.id).where(DomainRow.bounce_list == 0)
        )
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, bounce_list: int) -> None:
        """Check that a list is still that of an account or a domain.

        A transaction that has written to the list does so at its end: an owner that is
        removed later takes the new rows along.

        :raises StorageError: if a reset, a restore or a removal has replaced it since
            the request found it.
        """
        if not self._engine.fetch(self._owners, (bounce_list, bounce_list)):
            raise self._removed()

    def explain(self, error: StorageError) -> StorageError:
        """Return *error* of a write to a list, or that of a removed list."""
        is_removed = FOREIGN_KEY in str(error).casefold()
        return self._removed() if is_removed else error

    def _removed(self) -> StorageError:
        reason = "the list was removed or replaced during the request"
        return StorageError(f"{self._engine}: {reason}", reason=reason)
