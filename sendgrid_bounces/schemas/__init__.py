"""Marshmallow schemas of everything people write down: seeds, bounces, fault rules."""
