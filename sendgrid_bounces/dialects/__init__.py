"""The dialects: one folder per vendor, one blueprint module per API version.

A dialect parses the vendor's requests, runs operations on bounce lists, and serializes
the results. Dialects do not import each other, and contain no SQL.
"""
