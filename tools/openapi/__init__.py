"""Generator of the OpenAPI 3.1 description that the package ships.

``python -m tools.openapi`` writes the description; the package does not need this
generator. Routes come from the application, summaries from the docstrings of views,
fields from marshmallow schemas. :mod:`.sendgrid`, :mod:`.mailgun` and :mod:`.control`
add the schemas and responses of their views, :mod:`.routes` describes the routes of
other dialects.
"""
