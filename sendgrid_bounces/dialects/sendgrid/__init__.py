"""SendGrid Web API v2: the direct calls and the resellers' dispatcher."""
