"""Mailgun's bounces, v2 and v3: the list of a domain, by the key of its account."""
