"""Bolt at the edge: what Slack sends becomes a call of a handler, what the handler says becomes a message."""
