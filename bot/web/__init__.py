"""The HTTP side: health, readiness and Slack's events."""
