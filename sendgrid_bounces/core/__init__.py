"""Bounces, accounts, faults and time in plain Python: no HTTP, no SQL, no vendor."""
