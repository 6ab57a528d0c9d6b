"""``python -m sendgrid_bounces`` is ``sendgrid-bounces``."""

from sendgrid_bounces.cli import main

main(prog_name="sendgrid-bounces")
