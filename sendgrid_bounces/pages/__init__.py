"""The dashboard: HTML pages about the state of the emulator, at ``/_emulator/``.

:mod:`.routes` registers the pages in an application with control endpoints. Every page
reads and writes through the same service as the endpoints.
"""
