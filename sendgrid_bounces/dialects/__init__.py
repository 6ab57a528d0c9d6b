"""The dialects: one folder for each vendor, one blueprint module for each dialect.

A dialect turns its vendor's requests into operations on bounce lists, and what comes
of them into its vendor's bytes. No dialect knows another vendor's, and none writes SQL.
"""
