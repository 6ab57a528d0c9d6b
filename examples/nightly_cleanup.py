"""Delete the old soft bounces of a reseller's customers.

Usage: nightly_cleanup.py BASE_URL CUSTOMER...

The environment variables API_USER and API_KEY hold the credentials of the reseller.
Soft bounces that are more than a week old are deleted one by one, so that mail is
delivered to these addresses again.
"""

import json
import os
import sys
from datetime import date, timedelta
from urllib.parse import urlencode
from urllib.request import urlopen


def call(base, task, customer, **parameters):
    """Return the parsed response of the dispatcher, or exit if it is an error."""
    form = {
        "api_user": os.environ["API_USER"],
        "api_key": os.environ["API_KEY"],
        "method": "bounces",
        "task": task,
        "user": customer,
        **parameters,
    }
    url = f"{base}/apiv2/reseller.manage.json"
    with urlopen(url, urlencode(form).encode()) as response:
        document = json.load(response)
    if isinstance(document, dict):  # errors have status 200 and one of two forms
        if "error" in document:
            sys.exit(f"{customer}: {document['error']['message']}")
        if "errors" in document:
            sys.exit(f"{customer}: {'; '.join(document['errors'])}")
    return document


def clean_up(base, customer):
    """Delete the old soft bounces of *customer* and return their number."""
    last_week = date.today() - timedelta(days=7)
    bounces = call(base, "get", customer, type="soft", end_date=last_week.isoformat())
    for bounce in bounces:
        call(base, "delete", customer, email=bounce["email"])
    return len(bounces)


if __name__ == "__main__":
    if not sys.argv[2:] or not {"API_USER", "API_KEY"} <= os.environ.keys():
        sys.exit(__doc__)
    for name in sys.argv[2:]:
        print(f"{name}: soft bounces deleted: {clean_up(sys.argv[1], name)}")
