"""All control endpoints, loaded by the applications that have them."""

from flask import Blueprint

from sendgrid_bounces.control import (
    clock,
    contents,
    description,
    faults,
    journal,
    snapshots,
)

CONTROLS: tuple[Blueprint, ...] = (
    contents.bp,
    clock.bp,
    snapshots.bp,
    faults.bp,
    journal.bp,
    description.bp,
)
