"""Marshmallow schemas of all files and requests that do not belong to a vendor."""
