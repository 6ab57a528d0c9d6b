"""HTTP for all dialects: strict requests, streamed responses, error tables."""
