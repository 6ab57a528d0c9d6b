"""The description of all routes in OpenAPI 3.1, made from what checks requests.

``python -m tools.openapi`` writes it where the control endpoints serve it
from, so that no server needs what makes it. Routes come from the application's map,
summaries from the views, parameters from the marshmallow schemas; :mod:`.sendgrid`,
:mod:`.mailgun` and :mod:`.control` say which schemas a view checks with, and what it
answers.

Mailgun's parameters and records are read by functions, and described by hand.
"""
