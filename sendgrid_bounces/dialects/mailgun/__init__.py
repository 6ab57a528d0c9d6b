"""Mailgun bounces v2 and v3: the list of a domain, by the API key of its account."""
