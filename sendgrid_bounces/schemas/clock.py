"""The schemas of changes of the clock."""

from collections.abc import Mapping

from marshmallow import Schema

from sendgrid_bounces.schemas.base import StrictSchema, Text, one_of


class ActionSchema(StrictSchema):
    """A change of the clock that has no arguments."""

    action = Text(required=True)


class FreezeSchema(ActionSchema):
    """Stop the clock, now or at an instant."""

    instant = Text(
        metadata={
            "description": "UTC unless it has an offset; the current time if absent."
        }
    )


class SetSchema(ActionSchema):
    """Move the clock to an instant, and let it run."""

    instant = Text(
        required=True, metadata={"description": "UTC unless it has an offset."}
    )


class AdvanceSchema(ActionSchema):
    """Move the clock forward."""

    duration = Text(
        required=True,
        metadata={"description": "Weeks to seconds, such as PT1H, 1h30m or 90."},
    )


#: The schema of each action.
CLOCK_ACTIONS: Mapping[str, Schema] = {
    "freeze": FreezeSchema(),
    "set": SetSchema(),
    "advance": AdvanceSchema(),
    "reset": ActionSchema(),
}


class AnyActionSchema(StrictSchema):
    """The field that selects the schema."""

    action = Text(validate=one_of([*CLOCK_ACTIONS]), required=True)


ANY_ACTION = AnyActionSchema(unknown="exclude")
