"""The database behind the bounce lists: Peewee, SQL and nothing of HTTP."""
