"""SendGrid Web API v2 (direct calls, resellers' dispatcher) and v3.

The modules of v3 have the prefix ``v3``; the rest belong to v2, or to both.
"""
