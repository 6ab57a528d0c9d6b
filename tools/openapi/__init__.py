"""Generator of the OpenAPI 3.1 description that the package ships.

``python -m tools.openapi`` writes the description; the package does not need this
generator. Routes come from the application, summaries from the docstrings of views,
fields from marshmallow schemas. A module for each dialect, and for groups of the other
endpoints, adds the schemas and responses of its views; :mod:`.routes` describes the
routes of dialects without one.
"""
