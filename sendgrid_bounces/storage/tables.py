"""The tables. The models are unbound; each engine compiles queries by itself."""

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

import peewee

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.bounces import MAX_LENGTHS
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.sources import MAX_SOURCE_NAME

#: The version of this schema, stored in :class:`AboutRow`.
SCHEMA_VERSION = 5

#: The name, in the field types of a query builder, of the keyword that keeps a database
#: from reusing identifiers.
UNIQUE_ID = "UNIQUE_ID"


class UniqueIdField(peewee.AutoField):
    """An identifier that no later row gets, even if the newest row is deleted."""

    def ddl(self, ctx: Any) -> peewee.NodeList:
        """Return the definition of the column."""
        keyword = ctx.state.field_types.get(UNIQUE_ID, "")
        return peewee.NodeList((super().ddl(ctx), peewee.SQL(keyword)))


class BigUniqueIdField(UniqueIdField):
    """The same in 64 bits."""

    field_type = "BIGAUTO"


class AboutRow(peewee.Model):
    """The properties of the database, in a single row.

    ``key_salt`` is the salt of the accounts' ``key_tag``.
    """

    schema_version = peewee.IntegerField()
    key_salt = peewee.CharField(max_length=64)

    class Meta:
        table_name = "about"
        primary_key = False


class BounceListRow(peewee.Model):
    """A bounce list. Accounts and domains refer to it."""

    id = peewee.AutoField()

    class Meta:
        table_name = "bounce_list"


class AccountRow(peewee.Model):
    """An account; the row of a customer refers to its reseller.

    ``key_tag`` holds 16 bits of another slow hash of the key. This suffices to find
    the few accounts that may have the key, and does not help to guess the key.
    """

    id = peewee.AutoField()
    username = peewee.CharField(max_length=MAX_NAME, unique=True)
    key_hash = peewee.CharField(max_length=255, default="")
    key_tag = peewee.IntegerField(null=True, index=True)
    profile = peewee.CharField(max_length=32, null=True)
    timezone = peewee.CharField(max_length=64, default="UTC")
    bounce_list = peewee.ForeignKeyField(BounceListRow, on_delete="RESTRICT")
    is_reseller = peewee.BooleanField(default=False)
    reseller = peewee.ForeignKeyField("self", null=True, on_delete="CASCADE")

    class Meta:
        table_name = "account"


class DomainRow(peewee.Model):
    """A sending domain of an account, with its own list or that of the account."""

    id = peewee.AutoField()
    name = peewee.CharField(max_length=MAX_NAME, unique=True)
    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE")
    bounce_list = peewee.ForeignKeyField(BounceListRow, on_delete="RESTRICT")

    class Meta:
        table_name = "domain"


class BounceRow(peewee.Model):
    """A bounce on a list, at most one per address.

    ``key`` is the folded address, so that neither look-ups nor the order depend on the
    collation of a product. ``type`` is derived from ``status``. ``created`` is an
    instant. The unique index serves look-ups by address and pages; the other index
    covers counts, ranges and offsets.
    """

    id = peewee.BigAutoField()
    bounce_list = peewee.ForeignKeyField(
        BounceListRow, index=False, on_delete="CASCADE"
    )
    key = peewee.CharField(max_length=2 * MAX_LENGTHS["email"])
    email = peewee.CharField(max_length=MAX_LENGTHS["email"])
    status = peewee.CharField(max_length=MAX_LENGTHS["status"])
    code = peewee.CharField(max_length=MAX_LENGTHS["code"])
    reason = peewee.TextField()
    type = peewee.SmallIntegerField()
    created = peewee.BigIntegerField()
    reported = peewee.BooleanField()

    class Meta:
        table_name = "bounce"
        indexes = (
            (("bounce_list", "key"), True),
            (("bounce_list", "created", "id", "type"), False),
        )


class ClockRow(peewee.Model):
    """The clock of all workers, in a single row; no row for the system's time.

    ``frozen`` is an instant, NULL if the clock runs; ``ahead`` is in seconds.
    """

    only = peewee.SmallIntegerField(primary_key=True, default=1)
    frozen = peewee.BigIntegerField(null=True)
    ahead = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "clock"


class SnapshotRow(peewee.Model):
    """A snapshot and its number of rows; ``created`` is an instant."""

    id = peewee.AutoField()
    name = peewee.CharField(max_length=64, unique=True)
    created = peewee.BigIntegerField()
    accounts = peewee.BigIntegerField(default=0)
    domains = peewee.BigIntegerField(default=0)
    bounces = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "snapshot"


class SnapshotChunkRow(peewee.Model):
    """A chunk of a snapshot: rows of one table as compressed JSON."""

    id = peewee.AutoField()
    snapshot = peewee.ForeignKeyField(SnapshotRow, index=False, on_delete="CASCADE")
    position = peewee.IntegerField()
    data = peewee.BlobField()

    class Meta:
        table_name = "snapshot_chunk"
        indexes = ((("snapshot", "position"), True),)


class FaultRow(peewee.Model):
    """A fault rule as JSON and its counters. Rules are matched in the order of ``id``.

    ``planted`` identifies a rule of a seed, of which a second load adds no copy.
    """

    id = UniqueIdField()
    rule = peewee.TextField()
    planted = peewee.CharField(max_length=64, null=True, unique=True)
    matched = peewee.BigIntegerField(default=0)
    fired = peewee.BigIntegerField(default=0)
    window_start = peewee.BigIntegerField(default=0)
    window_count = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "fault"


class FaultSetRow(peewee.Model):
    """The version of the set of fault rules, in a single row; no row before a change.

    Adding and removing rules changes it, counting requests does not.
    """

    only = peewee.SmallIntegerField(primary_key=True, default=1)
    version = peewee.BigIntegerField()

    class Meta:
        table_name = "fault_set"


#: The columns of the types in :class:`LoggedRequest`; mappings are stored as JSON.
COLUMN_TYPES: dict[Any, type[peewee.Field]] = {
    int: peewee.BigIntegerField,
    float: peewee.DoubleField,
    str: peewee.TextField,
    Mapping[str, str | list[str]]: peewee.TextField,
}


def _log_columns() -> dict[str, peewee.Field]:
    """Return a column for each field of a logged request except the identifier."""
    columns: dict[str, peewee.Field] = {}
    types = get_type_hints(LoggedRequest)
    for field in fields(LoggedRequest)[1:]:
        wanted = {*get_args(types[field.name])}
        is_optional = NoneType in wanted
        (kind,) = wanted - {NoneType} if is_optional else {types[field.name]}
        columns[field.name] = COLUMN_TYPES[kind](null=is_optional)
    return columns


class RequestRow(peewee.Model):
    """An entry of the request log: the fields of :class:`LoggedRequest`.

    ``fault`` identifies the rule that triggered, which may be gone.
    """

    id = BigUniqueIdField()

    class Meta:
        table_name = "logged_request"


for _name, _column in _log_columns().items():
    RequestRow._meta.add_field(_name, _column)  # noqa: SLF001 - Peewee's documented way


class SourceRow(peewee.Model):
    """A source of bounces, with the counts and the latest times of its events.

    The row names the account or domain, so that restoring a snapshot keeps the row; the
    next pull then reads everything. ``settings`` is JSON; ``last_event`` and
    ``last_problem`` are instants.
    """

    id = peewee.AutoField()
    name = peewee.CharField(max_length=MAX_SOURCE_NAME, unique=True)
    owner = peewee.CharField(max_length=MAX_NAME)
    kind = peewee.CharField(max_length=32)
    settings = peewee.TextField()
    listed = peewee.BigIntegerField(default=0)
    known = peewee.BigIntegerField(default=0)
    ignored = peewee.BigIntegerField(default=0)
    skipped = peewee.BigIntegerField(default=0)
    refused = peewee.BigIntegerField(default=0)
    last_event = peewee.BigIntegerField(null=True)
    last_problem = peewee.BigIntegerField(null=True)
    problem = peewee.TextField(null=True)
    confirm_url = peewee.TextField(null=True)

    class Meta:
        table_name = "source"


class EventRow(peewee.Model):
    """The key of an event that a list has received, as a digest.

    ``seen`` is the instant of the event's last repeat.
    """

    id = peewee.BigAutoField()
    bounce_list = peewee.ForeignKeyField(
        BounceListRow, index=False, on_delete="CASCADE"
    )
    digest = peewee.CharField(max_length=64)
    seen = peewee.BigIntegerField(index=True)

    class Meta:
        table_name = "source_event"
        indexes = ((("bounce_list", "digest"), True),)


class DeletionRow(peewee.Model):
    """A deletion, which holds against late copies of older events.

    ``address`` is the digest of an address, or empty if the deletion named none;
    ``query`` has its other conditions as JSON, and ``deleted`` is an instant.
    """

    id = peewee.BigAutoField()
    bounce_list = peewee.ForeignKeyField(
        BounceListRow, index=False, on_delete="CASCADE"
    )
    address = peewee.CharField(max_length=64)
    query = peewee.CharField(max_length=255)
    deleted = peewee.BigIntegerField(index=True)

    class Meta:
        table_name = "deletion"
        indexes = ((("bounce_list", "address", "query"), True),)


class PullRow(peewee.Model):
    """The latest pull into a list: the fields of :class:`Pull`.

    It names the account or domain, so that restoring a snapshot keeps it.
    """

    id = peewee.AutoField()
    owner = peewee.CharField(max_length=MAX_NAME, unique=True)
    service = peewee.CharField(max_length=32)
    finished = peewee.BigIntegerField(null=True)
    start = peewee.BigIntegerField(null=True)
    end = peewee.BigIntegerField(null=True)
    rows = peewee.BigIntegerField(default=0)
    changed = peewee.BigIntegerField(default=0)
    removed = peewee.BigIntegerField(default=0)
    failed = peewee.BigIntegerField(null=True)
    problem = peewee.TextField()

    class Meta:
        table_name = "pull"


#: All tables in the order of creation. The last table marks the schema as complete.
#: SQLite keeps :class:`RequestRow` in a file of its own.
TABLES = (
    BounceListRow,
    AccountRow,
    DomainRow,
    BounceRow,
    ClockRow,
    SnapshotRow,
    SnapshotChunkRow,
    FaultRow,
    FaultSetRow,
    RequestRow,
    SourceRow,
    EventRow,
    DeletionRow,
    PullRow,
    AboutRow,
)

#: The names that Peewee gives the indexes of bounces: by time, and by folded address.
TIME_INDEX = "bouncerow_bounce_list_id_created_id_type"
KEY_INDEX = "bouncerow_bounce_list_id_key"
