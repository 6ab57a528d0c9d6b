"""The formats of files of bounces, by suffix."""

EXPORT_FORMATS = {"csv": "csv", "json": "json"}
IMPORT_FORMATS = {**EXPORT_FORMATS, "tsv": "csv", "txt": "text"}
