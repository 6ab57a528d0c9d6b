"""Sources: bounce events read from bounce mails and from providers' webhooks.

Each module is a pure function from bytes and header fields to a :class:`Batch`.
"""

#: The kinds of sources that post requests; :mod:`.kinds` has the module of each.
KINDS = ("mail", "mailgun", "postmark", "sendgrid", "ses")
