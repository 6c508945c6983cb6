"""The HTTP side: health, readiness, metrics and Slack's events."""
