"""The tables. The models are unbound: every query names the database it runs on."""

import peewee

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.bounces import MAX_LENGTHS

#: The version of the schema below, kept in :class:`AboutRow`.
SCHEMA_VERSION = 2


class AboutRow(peewee.Model):
    """What is known of the database as a whole: one row.

    ``key_salt`` salts the tags of the accounts' keys.
    """

    schema_version = peewee.IntegerField()
    key_salt = peewee.CharField(max_length=64)

    class Meta:
        table_name = "about"
        primary_key = False


class BounceListRow(peewee.Model):
    """A bounce list; accounts and domains give it its names."""

    id = peewee.AutoField()

    class Meta:
        table_name = "bounce_list"


class AccountRow(peewee.Model):
    """An account; a customer's row names its reseller.

    ``key_tag`` is a small part of another slow hash of the key: enough to find the few
    accounts whose key it may be, and too little to be one.
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
    """A sending domain of an account, with a list of its own or a shared one."""

    id = peewee.AutoField()
    name = peewee.CharField(max_length=MAX_NAME, unique=True)
    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE")
    bounce_list = peewee.ForeignKeyField(BounceListRow, on_delete="RESTRICT")

    class Meta:
        table_name = "domain"


class BounceRow(peewee.Model):
    """A bounce on a list, at most one for an address.

    ``key`` is the folded address, so that neither look-ups nor order depend on an
    engine's collation. ``type`` is derived from ``status`` and indexed. ``created``
    is an instant. Two indexes do all the work: the unique one finds an address; the
    other one holds all that a count, a range and an offset need.
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
    """The clock that all workers read: one row, or none for the system's time.

    ``frozen`` is an instant, NULL if the clock runs; ``ahead`` is in seconds.
    """

    only = peewee.SmallIntegerField(primary_key=True, default=1)
    frozen = peewee.BigIntegerField(null=True)
    ahead = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "clock"


class SnapshotRow(peewee.Model):
    """A snapshot, and how much it holds; ``created`` is an instant."""

    id = peewee.AutoField()
    name = peewee.CharField(max_length=64, unique=True)
    created = peewee.BigIntegerField()
    accounts = peewee.BigIntegerField(default=0)
    domains = peewee.BigIntegerField(default=0)
    bounces = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "snapshot"


class SnapshotChunkRow(peewee.Model):
    """A part of a snapshot: some rows of a table, as compressed JSON."""

    id = peewee.AutoField()
    snapshot = peewee.ForeignKeyField(SnapshotRow, index=False, on_delete="CASCADE")
    position = peewee.IntegerField()
    data = peewee.BlobField()

    class Meta:
        table_name = "snapshot_chunk"
        indexes = ((("snapshot", "position"), True),)


class FaultRow(peewee.Model):
    """A fault rule, as JSON, and what is counted of it; rules stand in order of ``id``.

    ``planted`` tells the rules of seed files apart, so that they are planted once.
    """

    id = peewee.AutoField()
    rule = peewee.TextField()
    planted = peewee.CharField(max_length=64, null=True, unique=True)
    matched = peewee.BigIntegerField(default=0)
    fired = peewee.BigIntegerField(default=0)
    window_start = peewee.BigIntegerField(default=0)
    window_count = peewee.BigIntegerField(default=0)

    class Meta:
        table_name = "fault"


class RequestRow(peewee.Model):
    """A request in the journal; ``parameters`` is JSON, and ``rows`` what it changed.

    ``fault`` is the identifier of the rule that fired, which may be gone.
    """

    id = peewee.BigAutoField()
    time = peewee.BigIntegerField()
    dialect = peewee.CharField(max_length=32)
    operation = peewee.CharField(max_length=32, null=True)
    account = peewee.TextField(null=True)
    domain = peewee.TextField(null=True)
    method = peewee.TextField()
    path = peewee.TextField()
    parameters = peewee.TextField()
    status = peewee.IntegerField(null=True)
    rows = peewee.BigIntegerField(null=True)
    fault = peewee.IntegerField(null=True)

    class Meta:
        table_name = "request"


#: The last one is made when the others are there.
TABLES = (
    BounceListRow,
    AccountRow,
    DomainRow,
    BounceRow,
    ClockRow,
    SnapshotRow,
    SnapshotChunkRow,
    FaultRow,
    RequestRow,
    AboutRow,
)

#: The indexes of bounces, as Peewee names them: by time, and by folded address.
TIME_INDEX = "bouncerow_bounce_list_id_created_id_type"
KEY_INDEX = "bouncerow_bounce_list_id_key"
