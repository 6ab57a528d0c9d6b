"""The routes of accounts and domains."""

from http import HTTPStatus
from typing import Any

from sendgrid_bounces.control import api, documents
from sendgrid_bounces.control.api import route
from sendgrid_bounces.control.documents import LISTS
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.schemas.accounts import ACCOUNT_CHANGE, NEW_ACCOUNT, NEW_DOMAIN
from sendgrid_bounces.schemas.base import load


@route("/accounts", "GET")
def list_accounts(control: Control) -> dict[str, Any]:
    """List the accounts, with their customers and domains."""
    found = control.accounts()
    return {"accounts": [documents.render_account(account) for account in found]}


@route("/accounts", "POST", body=api.read_json, status=HTTPStatus.CREATED)
def add_account(control: Control, body: Any) -> dict[str, Any]:
    """Add an account."""
    return documents.render_account(control.add_account(**load(NEW_ACCOUNT, body)))


@route("/accounts/<address:name>", "GET")
def show_account(control: Control, name: str) -> dict[str, Any]:
    """Return an account."""
    return documents.render_account(control.account(name))


@route("/accounts/<address:name>", "PATCH", body=api.read_json)
def change_account(control: Control, name: str, body: Any) -> dict[str, Any]:
    """Change the API key, the profile or the time zone of an account."""
    changes = load(ACCOUNT_CHANGE, body)
    return documents.render_account(control.change_account(name, changes))


@route("/accounts/<address:name>", "DELETE")
def remove_account(control: Control, name: str) -> dict[str, Any]:
    """Remove an account with its customers, domains and bounces."""
    return {"removed": documents.render_counts(control.remove_account(name))}


@route("/domains", "GET")
def list_domains(control: Control) -> dict[str, Any]:
    """List the domains."""
    return {"domains": [documents.render_domain(found) for found in control.domains()]}


@route("/domains", "POST", body=api.read_json, status=HTTPStatus.CREATED)
def add_domain(control: Control, body: Any) -> dict[str, Any]:
    """Add a domain to an account."""
    domain = load(NEW_DOMAIN, body)
    shares_list = domain.pop("list") == LISTS[True]
    added = control.add_domain(**domain, shares_list=shares_list)
    return documents.render_domain(added)


@route("/domains/<address:name>", "GET")
def show_domain(control: Control, name: str) -> dict[str, Any]:
    """Return a domain."""
    return documents.render_domain(control.domain(name))


@route("/domains/<address:name>", "DELETE")
def remove_domain(control: Control, name: str) -> dict[str, Any]:
    """Remove a domain, and its bounces unless the account shares the list."""
    return {"removed": documents.render_counts(control.remove_domain(name))}
