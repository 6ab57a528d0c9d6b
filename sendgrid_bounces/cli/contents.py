"""Commands for the contents as a whole: reset and seed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sendgrid_bounces.cli.arguments import owner_option
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.doubts import STRICT, Doubts
from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import (
    JSON,
    command_config,
    is_given,
    seed_option,
    server_url,
    state_options,
)
from sendgrid_bounces.cli.output import echo_json
from sendgrid_bounces.cli.text_files import open_input
from sendgrid_bounces.control.documents import AccountReport, render_counts
from sendgrid_bounces.core.contents import Counts, enumerate_contents
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.messages import count_nouns, join_words, pluralize

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control


@click.command(cls=Command)
@click.option(
    "--to",
    type=click.Choice(["seed", "empty"]),
    default="seed",
    help="Whether to load the seed files (the default) or to leave nothing.",
)
@owner_option(
    "--account",
    metavar="NAME",
    help="Reset only this account, or this domain if there is no such account.",
)
@seed_option("A seed file to load; may be repeated. A server has its own.")
@JSON
@YES
@state_options
def reset(
    to: str,
    account: str | None,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    yes: bool,  # noqa: FBT001
) -> None:
    """Erase accounts, domains, bounces, sources, fault rules, request log and clock.

    Then load the seed files. Snapshots are kept.
    """
    if is_given("SEED") and server_url() is not None:
        raise click.UsageError("--seed cannot be combined with --url")
    empty = to == "empty"
    with open_control() as control:
        seed_files = control.overview().seed_files
        removed = _removed(control, account)
        confirm(_question(removed, seed_files, empty=empty), yes=yes)
        if account is None:
            counts = control.reset(empty=empty)
        else:
            counts = control.reset_account(account, empty=empty)
    _echo(counts, as_json=as_json)


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@STRICT
@JSON
@state_options
def seed(files: tuple[str, ...], is_strict: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Load the seed FILES (- for stdin) in the given order.

    Add or replace the items that the files list; everything else is kept.
    All FILES are read and checked before the first one is loaded.
    """
    command_config()  # its errors come before stdin is read
    doubts = Doubts(is_strict=is_strict)
    texts = []
    for file in files:
        with open_input(file) as source, naming(file):
            texts.append(source.read())
            doubts.report(f"{file}: ", _find_doubts(texts[-1]))
    with open_control(create=True) as control:
        for file, text in zip(files, texts, strict=True):
            with naming(file):
                counts = control.seed(text)
    doubts.finish()
    _echo(counts, as_json=as_json)


def _find_doubts(text: str) -> list[tuple[str, str]]:
    """Return the implausible fields of a seed.

    :raises ParametersError: if it is invalid.
    """
    from sendgrid_bounces.app import DIALECTS
    from sendgrid_bounces.schemas.seeds import read_seed

    operations = {dialect.name: dialect.operations for dialect in DIALECTS}
    doubts: list[tuple[str, str]] = []
    read_seed(text, 0, operations, doubts)
    return doubts


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Prefix validation errors with the name of *file*."""
    try:
        yield
    except ParametersError as error:
        raise error.within(file, ": ") from None


def count_owned(accounts: Sequence[AccountReport], name: str) -> dict[str, int]:
    """Count the customers, domains and bounces of the account *name*, by noun.

    :raises UnknownNameError: if it does not exist any more.
    """
    known = {each.name: each for each in accounts}
    if name not in known:
        raise UnknownNameError("account", name)
    found, names = [], [name]
    while names:
        if each := known.pop(names.pop(), None):
            found.append(each)
            names += each.customers
    domains = [domain for each in found for domain in each.domains]
    own = sum(domain.bounces for domain in domains if not domain.shares_list)
    return {
        "customer": len(found) - 1,
        "domain": len(domains),
        "bounce": own + sum(each.bounces for each in found),
    }


def enumerate_owned(name: str, owned: Mapping[str, int]) -> str:
    """Return ``acme, 2 customers, 1 domain and 3 bounces``, without customers if none.

    :param owned: the result of :func:`count_owned`.
    """
    some = {noun: number for noun, number in owned.items() if number}
    return join_words([name, *count_nouns({**some, "bounce": owned["bounce"]})])


def echo_counts(counts: Counts) -> None:
    """Print the contents of the database."""
    click.echo(f"the database has {enumerate_contents(counts)}")


def _echo(counts: Counts, *, as_json: bool) -> None:
    if as_json:
        echo_json(render_counts(counts))
    else:
        echo_counts(counts)


def _question(removed: str, seed_files: int, *, empty: bool) -> str:
    if empty:
        return f"Remove {removed}?"
    if not seed_files:
        return f"Remove {removed}, and load nothing (there are no seed files)?"
    return f"Remove {removed}, then load {pluralize(seed_files, 'seed file')}?"


def _removed(control: "Control | RemoteControl", account: str | None) -> str:
    """Describe the data that a reset removes, with numbers.

    :param account: the account or domain to reset; None for everything.
    """
    if account is None:
        return f"everything ({enumerate_contents(control.counts())})"
    accounts = control.accounts()
    if any(each.name == account for each in accounts):
        return enumerate_owned(account, count_owned(accounts, account))
    for each in accounts:
        for domain in each.domains:
            if domain.name == account.lower():
                return enumerate_owned(account, {"bounce": domain.bounces})
    return account
