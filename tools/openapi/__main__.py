"""Write the description into the package: ``python -m tools.openapi``."""

from sendgrid_bounces.control.description import FILE
from tools.openapi.document import write

FILE.write_text(write(), encoding="utf-8")
