"""The emulator's own endpoints, under a prefix where no vendor has a path."""
