"""All control endpoints, loaded by the applications that have them."""

from flask import Blueprint

from sendgrid_bounces.control import (
    clock,
    contents,
    description,
    faults,
    requests,
    snapshots,
)

CONTROLS: tuple[Blueprint, ...] = (
    contents.bp,
    clock.bp,
    snapshots.bp,
    faults.bp,
    requests.bp,
    description.bp,
)
