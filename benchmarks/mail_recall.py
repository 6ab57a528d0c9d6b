"""Measure the bounce mail reader on a corpus: ``mail_recall.py CORPUS``.

CORPUS is a folder of mails with an ``EXPECTED.json``::

    {"1.eml": {"bounces": [{"email": "a@example.com", "status": "5.1.1"}]},
     "2.eml": {"bounces": [{"email": "a@example.com", "temporary": true}]},
     "3.eml": {"bounces": []}}

A ``code`` is measured too; missing and empty values are not. The class (permanent or
temporary) is that of the status, else of the code. ``temporary`` is true while the mail
system still tries to reach the recipient, and false after it has given up, in either
class. A mail with empty ``bounces`` must list nothing.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sendgrid_bounces.sources.events import BounceEvent
from sendgrid_bounces.sources.mail import flufl, read_mail, split_mails

ALL, REPORTS = "recipients of all mails", "recipients of mails with a report"
CLASS, STATUS, CODE = "permanent or temporary", "status", "code"

#: The least share of hits, and the largest share of wrong extra addresses.
GOALS = {ALL: 0.95, REPORTS: 0.99, CLASS: 0.93, STATUS: 0.93}
MAX_EXTRA = 0.01


@dataclass
class Score:
    """Counts of hits and of cases, and the misses to print."""

    hits: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)
    extra: int = 0
    listed: int = 0

    def add(self, measure: str, miss: str, *, is_hit: bool) -> None:
        """Count a case of *measure*."""
        self.cases[measure] += 1
        self.hits[measure] += is_hit
        if not is_hit:
            self.misses.append(f"{measure}: {miss}")

    @property
    def is_good(self) -> bool:
        """Whether all goals are met."""
        shares = (self.hits[m] >= goal * self.cases[m] for m, goal in GOALS.items())
        return (
            all(shares)
            and self.extra <= MAX_EXTRA * self.cases[ALL]
            and not self.listed
        )


def read_recipients(raw: bytes) -> list[tuple[BounceEvent, set[str]]]:
    """Return the events in *raw* with all addresses of their recipients.

    Where forwarding changed an address, both the original and the final one count.
    """
    now, found = int(time.time()), []
    for mail in split_mails(raw.splitlines(keepends=True)):
        originals = read_mail(mail, now).events
        finals = read_mail(mail, now, recipient="final").events
        others = finals if len(finals) == len(originals) else originals
        for event, other in zip(originals, others, strict=True):
            found.append((event, {event.email.lower(), other.email.lower()}))
    return found


def measure_mail(
    name: str, raw: bytes, bounces: list[dict[str, Any]], score: Score
) -> None:
    """Compare the events of the mail *name* to the expected *bounces*."""
    found = read_recipients(raw)
    if not bounces:
        listed = [event.email for event, _ in found if event.is_listed]
        score.listed += bool(listed)
        score.misses += [f"listed: {name} {email}" for email in listed]
        return
    wanted = {bounce["email"].lower() for bounce in bounces}
    missing = wanted - {email for _, emails in found for email in emails}
    miss = f"{name} {sorted(missing)}"
    score.add(ALL, miss, is_hit=not missing)
    if b"final-recipient" in raw.lower():
        score.add(REPORTS, miss, is_hit=not missing)
    for bounce in bounces:
        email = bounce["email"].lower()
        event = next((event for event, emails in found if email in emails), None)
        if event:
            measure_event(name, event, bounce, score)
    extra = [event.email for event, emails in found if not emails & wanted]
    score.extra += len(extra)
    score.misses += [f"extra: {name} {email}" for email in extra]


def measure_event(
    name: str, event: BounceEvent, bounce: dict[str, Any], score: Score
) -> None:
    """Compare class, status and code of a recipient."""
    status, code = bounce.get("status"), bounce.get("code")
    miss = f"{name} {event.email}: {event.status} {event.code}, not {status} {code}"
    if known := status or code:
        score.add(CLASS, miss, is_hit=event.status[0] == known[0])
    elif "temporary" in bounce:
        score.add(CLASS, miss, is_hit=event.is_listed is not bounce["temporary"])
    if status:
        score.add(STATUS, miss, is_hit=event.status == status)
    if code:
        score.add(CODE, miss, is_hit=event.code == code)


def report(score: Score, mails: int, seconds: float) -> None:
    """Print the measures of *score*."""
    for measure in (ALL, REPORTS, CLASS, STATUS, CODE):
        hits, cases = score.hits[measure], score.cases[measure]
        goal = f"goal {GOALS[measure]:.0%}" if measure in GOALS else ""
        share = hits / cases if cases else 1
        click.echo(f"{measure:34} {share:6.1%}  {hits:4} of {cases:4}  {goal}")
    extra = score.extra / max(score.cases[ALL], 1)
    click.echo(f"{'wrong extra addresses':34} {extra:6.1%}  {score.extra:4}")
    click.echo(f"{'mails listed without a bounce':42} {score.listed:4}")
    library = "with" if flufl.is_installed() else "without"
    click.echo(f"{mails} mails in {seconds:.1f} s, {library} flufl.bounce")


def main(arguments: list[str] | None = None) -> int:
    """Print the measures; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="Measure the bounce mail reader.")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--misses", action="store_true", help="print each miss")
    options = parser.parse_args(arguments)
    expected = json.loads((options.corpus / "EXPECTED.json").read_text("utf-8"))
    score, start = Score(), time.perf_counter()
    for name, mail in expected.items():
        measure_mail(name, (options.corpus / name).read_bytes(), mail["bounces"], score)
    report(score, len(expected), time.perf_counter() - start)
    if options.misses:
        click.echo("\n".join(score.misses))
    return 0 if score.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
