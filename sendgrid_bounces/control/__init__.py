"""The emulator's own endpoints, under a prefix where no vendor has a path.

:mod:`.web` is what they share: who may call, strict requests, answers in JSON.
:mod:`.health` is always there; the others, which can read and wipe everything, only if
the setting ``CONTROL`` says so. Their views are thin: what they do is in :mod:`.state`.
"""
