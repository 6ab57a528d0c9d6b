"""The data of the benchmarks: a large list, small lists, and a file to import."""

import csv
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.accounts import DEFAULT_COSTS, ScryptCosts
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.storage.database import open_storage

#: The account of the large list, its key and its domain, which shares the list.
NAME, KEY, DOMAIN = "large", "large", "large.example.com"

SMALL_LISTS, SMALL_SIZE = 100, 100

#: The instant of the first bounce on the large list, and the seconds between bounces:
#: three years in all.
FIRST, STEP = int(datetime(2010, 1, 1, tzinfo=timezone.utc).timestamp()), 94.6

#: The size of the imported file in bytes: the maximum of Mailgun.
CSV_SIZE = 25 * 1024 * 1024 - 4096

STATUSES = ("5.1.1", "5.1.1", "5.7.1", "550", "4.2.2", "4.0.0")
TEXT = (
    "550 5.1.1 The email account that you tried to reach does not exist. Please try "
    "double-checking the recipient's address <user@host> for typos or unnecessary "
    'spaces; host said: "mailbox unavailable", over quota & blocked'
)
WORDS = TEXT.split()


def email(number: int) -> str:
    """Return the address of the large list's bounce *number*."""
    return f"recipient.{number * 7_919 % 1_000_003}.{number}@mail{number % 997}.example"


def reason(chance: random.Random) -> str:
    """Return a reason of 80 to 200 characters, such as a mail server gives."""
    return " ".join(chance.choices(WORDS, k=40))[: chance.randint(80, 200)]


def bounces(count: int, seed: int) -> Iterator[Bounce]:
    """Yield *count* bounces, which depend only on *seed*."""
    chance = random.Random(seed)
    for number in range(count):
        yield Bounce(
            email(number),
            chance.choice(STATUSES),
            "",
            reason(chance),
            FIRST + int(number * STEP),
        )


def fill(url: str, rows: int, costs: ScryptCosts = DEFAULT_COSTS) -> None:
    """Create the database at *url* with *rows* bounces on the large list.

    :param costs: of the hashes of the keys.
    """
    with closing(open_storage(url)) as storage:
        authenticator = Authenticator(storage, costs)
        large = storage.accounts.add(NAME, **authenticator.hash_key(KEY))
        storage.accounts.add_domain(DOMAIN, large, shares_list=True)
        storage.bounces.put(large.bounce_list, bounces(rows, 0))
        for number in range(SMALL_LISTS):
            name = f"small{number}"  # and its key
            small = storage.accounts.add(name, **authenticator.hash_key(name))
            storage.bounces.put(small.bounce_list, bounces(SMALL_SIZE, number))


def write_csv(path: Path) -> int:
    """Write a file to import, with new addresses; return the number of rows."""
    chance = random.Random(1)
    rows = 0
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["address", "code", "error", "created_at"])
        while file.tell() < CSV_SIZE:
            when = datetime(2012, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=rows)
            created = format_datetime(when, usegmt=True)
            writer.writerow([f"new.{email(rows)}", "550", reason(chance), created])
            rows += 1
    return rows
