"""Questions before a change: a dialog, or a page without the script."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Response

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.pages.web import FRAGMENT, render
from sendgrid_bounces.web.requests import request


@dataclass(frozen=True, slots=True)
class Question:
    """The form that confirms a change.

    :param text: the objects that the change removes, with their numbers.
    :param button: the label of the button that makes the change.
    :param action: the URL that receives the form.
    :param back: the URL of the page to return to.
    :param twin: the label and the URL of the JSON twin.
    :param values: the hidden fields of the form.
    :param snapshot: the name of the snapshot that is offered; empty for none.
    :param is_advised: whether the snapshot is saved unless the user declines.
    :param word: the word to type; empty for none.
    :param note: an explanation below the text.
    :param asks_key: whether the form has a field for an API key.
    :param is_safe: whether the change removes nothing.
    :param form: the identifier of the form on the page that is sent instead of one of
        the question; empty for none.
    """

    title: str
    text: str
    button: str
    action: str
    back: str
    twin: tuple[str, str]
    values: Mapping[str, str | int] = field(default_factory=dict)
    snapshot: str = ""
    is_advised: bool = True
    word: str = ""
    note: str = ""
    asks_key: bool = False
    is_safe: bool = False
    form: str = ""


def ask(
    control: Control, question: Question, error: ParametersError | None = None
) -> Response:
    """Return the question as a page, or as the contents of a dialog for the script."""
    is_fragment = bool(request.headers.get(FRAGMENT))
    template = "_question.html" if is_fragment else "question.html"
    return render(
        control,
        template,
        error=error,
        question=question,
        is_fragment=is_fragment,
        twin=question.twin,
    )
