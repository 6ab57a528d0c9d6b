"""The command line: ``sendgrid-bounces``."""

from sendgrid_bounces.cli.accounts import account, domain
from sendgrid_bounces.cli.bounces import bounces
from sendgrid_bounces.cli.control import clock, fault, requests, reset, seed, snapshot
from sendgrid_bounces.cli.health import health
from sendgrid_bounces.cli.main import main
from sendgrid_bounces.cli.serve import init_db, serve

COMMANDS = (
    serve,
    health,
    init_db,
    account,
    domain,
    bounces,
    reset,
    seed,
    clock,
    snapshot,
    fault,
    requests,
)

for command in COMMANDS:
    main.add_command(command)

__all__ = ["main"]
