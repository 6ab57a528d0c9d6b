"""A reseller's nightly clean-up: give soft bounces of its customers another chance.

Usage: nightly_cleanup.py BASE_URL CUSTOMER...

The reseller's name and key come from API_USER and API_KEY. For each customer, what
bounced softly more than a week ago is deleted, address by address, so that mail is
delivered to it again.
"""

import json
import os
import sys
from datetime import date, timedelta
from urllib.parse import urlencode
from urllib.request import urlopen


def call(base, task, customer, **parameters):
    """Return what the dispatcher answers; end the script if that is an error."""
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
        answer = json.load(response)
    if isinstance(answer, dict):  # errors come under HTTP 200, in two forms
        if "error" in answer:
            sys.exit(f"{customer}: {answer['error']['message']}")
        if "errors" in answer:
            sys.exit(f"{customer}: {'; '.join(answer['errors'])}")
    return answer


def clean_up(base, customer):
    """Delete the old soft bounces of *customer*; return how many there were."""
    last_week = date.today() - timedelta(days=7)
    bounces = call(base, "get", customer, type="soft", end_date=last_week.isoformat())
    for bounce in bounces:
        call(base, "delete", customer, email=bounce["email"])
    return len(bounces)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        print(f"{name}: {clean_up(sys.argv[1], name)} soft bounces deleted")
