"""A whole world on loopback for the unmodified bot: Slack, Mistral's API, the service, Prometheus, Kubernetes, a page.

The bot reaches it over HTTP and WebSocket alone, so nothing here imports the bot but ``errors`` and ``settings``.
"""
