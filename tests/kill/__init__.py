"""The bot killed at all points of what it does; minutes of it: `make test-kill`."""
