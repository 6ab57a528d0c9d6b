"""Write the description into the package: ``python -m tools.openapi``."""

from sendgrid_bounces.control.views import DESCRIPTION
from tools.openapi.document import write

DESCRIPTION.write_text(write(), encoding="utf-8")
