"""Receiving: events of sources reach the bounce lists.

:mod:`.views` has the endpoints below ``/_sources/``, which exist whether the control
endpoints are on or off; the command line and test accounts share :mod:`.delivery`.
"""
