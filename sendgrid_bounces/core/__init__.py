"""The bounce list itself, in plain Python: no HTTP, no SQL, no vendor."""
