"""Marshmallow schemas of records in files and requests: seeds, bounces, fault rules."""
