"""Write the description into the package: ``python -m sendgrid_bounces.openapi``."""

from sendgrid_bounces.control.description import FILE
from sendgrid_bounces.openapi.document import write

FILE.write_text(write(), encoding="utf-8")
