"""Measure the bounce mail reader on a corpus: ``mail_recall.py CORPUS``.

CORPUS is a folder of mails with an ``EXPECTED.json``::

    {"postfix-01.eml": {"bounces": [{"email": "user@example.com", "status": "5.1.1",
                                     "code": "550", "temporary": false}]}}

``status``, ``code`` and ``temporary`` are optional: a value that is missing or empty is
not measured. The class (permanent or temporary) is that of ``temporary``, else of
``status``, else of ``code``. A mail whose ``bounces`` are empty must list nothing.
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

#: Least shares that pass, and the largest share of wrong extra addresses.
GOALS = {
    "mails with a report, all recipients": 0.99,
    "all mails, all recipients": 0.95,
    "permanent or temporary": 0.93,
    "status": 0.93,
}
MOST_EXTRA = 0.01


@dataclass
class Score:
    """Counts of hits and of cases, and the misses to print."""

    hits: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)
    extra: int = 0
    false_listed: int = 0

    def add(self, measure: str, *, is_hit: bool, miss: str = "") -> None:
        """Count one case of *measure*."""
        self.cases[measure] += 1
        self.hits[measure] += is_hit
        if not is_hit:
            self.misses.append(f"{measure}: {miss}")

    def share(self, measure: str) -> float:
        """Return the share of hits; 1 without cases."""
        return self.hits[measure] / self.cases[measure] if self.cases[measure] else 1.0


def read_all(raw: bytes, now: int) -> dict[str, BounceEvent]:
    """Return the events of the mails in *raw* by address.

    Where forwarding changed an address, both the original and the final one count.
    """
    events: dict[str, BounceEvent] = {}
    for mail in split_mails(raw):
        for recipient in ("final", "original"):
            batch = read_mail(mail, now, recipient=recipient)
            events |= {event.email.lower(): event for event in batch.events}
    return events


def originals(raw: bytes, now: int) -> set[str]:
    """Return the addresses that the reader takes by default."""
    batches = [read_mail(mail, now) for mail in split_mails(raw)]
    return {event.email.lower() for batch in batches for event in batch.events}


def measure_mail(
    name: str, raw: bytes, expected: list[dict[str, Any]], score: Score
) -> None:
    """Compare the events of one mail to the *expected* bounces."""
    now = int(time.time())
    events = read_all(raw, now)
    listed = [email for email, event in events.items() if event.is_listed]
    if not expected:
        score.false_listed += bool(listed)
        if listed:
            score.misses.append(f"listed without a bounce: {name} {listed}")
        return
    wanted = {bounce["email"].lower() for bounce in expected}
    is_complete = wanted <= events.keys()
    missing = f"{name} {sorted(wanted - events.keys())}"
    score.add("all mails, all recipients", is_hit=is_complete, miss=missing)
    if b"final-recipient" in raw.lower():
        score.add(
            "mails with a report, all recipients", is_hit=is_complete, miss=missing
        )
    for bounce in expected:
        if event := events.get(bounce["email"].lower()):
            measure_event(name, event, bounce, score)
    both = read_both(raw, now)
    extra = sorted(e for e in originals(raw, now) if not both[e] & wanted)
    score.extra += len(extra)
    if extra:
        score.misses.append(f"extra: {name} {extra}")


def read_both(raw: bytes, now: int) -> dict[str, set[str]]:
    """Return for each address of the reader all addresses of the same recipient."""
    both: dict[str, set[str]] = {}
    for mail in split_mails(raw):
        batches = [
            read_mail(mail, now, recipient=r).events for r in ("original", "final")
        ]
        for original, final in zip(*batches, strict=False):
            both.setdefault(original.email.lower(), set()).update(
                {original.email.lower(), final.email.lower()}
            )
        for event in (event for batch in batches for event in batch):
            both.setdefault(event.email.lower(), {event.email.lower()})
    return both


def measure_event(
    name: str, event: BounceEvent, bounce: dict[str, Any], score: Score
) -> None:
    """Compare class, status and code of one recipient."""
    status, code = bounce.get("status") or "", bounce.get("code") or ""
    seen = f"{name} {event.email} {event.status} {event.code}, not {status} {code}"
    temporary = bounce.get("temporary")
    if temporary is None and (status or code):
        temporary = (status or code).startswith("4")
    if temporary is not None:
        is_temporary = event.status.startswith("4") or not event.is_listed
        score.add("permanent or temporary", is_hit=is_temporary == temporary, miss=seen)
    if status:
        score.add("status", is_hit=event.status == status, miss=seen)
    if code:
        score.add("code", is_hit=event.code == code, miss=seen)


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
    seconds = time.perf_counter() - start
    return report(score, len(expected), seconds, misses=options.misses)


def report(score: Score, mails: int, seconds: float, *, misses: bool) -> int:
    """Print *score*; return 1 if a goal is missed, else 0."""
    is_good = True
    for measure in sorted(score.cases):
        share, goal = score.share(measure), GOALS.get(measure, 0.0)
        is_good &= share >= goal
        counts = f"{score.hits[measure]} of {score.cases[measure]}"
        wanted = f"goal {goal:.0%}" if goal else ""
        click.echo(f"{measure:38} {share:6.1%}  {counts:12} {wanted}")
    recipients = max(score.cases["all mails, all recipients"], 1)
    is_good &= score.extra / recipients <= MOST_EXTRA and not score.false_listed
    click.echo(
        f"{'wrong extra addresses':38} {score.extra / recipients:6.1%}  {score.extra}"
    )
    click.echo(f"{'listed without a bounce':38} {score.false_listed:6}")
    library = "with" if flufl.is_installed() else "without"
    click.echo(f"{mails} mails in {seconds:.1f} s, {library} flufl.bounce")
    if misses:
        click.echo("\n".join(score.misses))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
