"""The form of names that are a part of a path, such as names of snapshots."""

import re

#: The characters of a name. A path cannot have a part of dots only.
SLUG_CHARACTERS = "[A-Za-z0-9._-]{1,64}"

SLUG = re.compile(rf"(?!\.+\Z){SLUG_CHARACTERS}")
SLUG_RULE = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, not only dots"
