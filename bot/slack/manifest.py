"""The Slack app manifest: exactly the command, events and scopes that are in use."""

import json
from typing import Any

from bot.domain.scopes import SCOPES

EVENTS = ("app_home_opened", "app_mention", "message.channels", "message.groups", "reaction_added")


def manifest() -> dict[str, Any]:
    """The manifest for Socket Mode; for HTTP mode set ``socket_mode_enabled`` to false and the request URLs."""
    return {
        "display_information": {
            "name": "Mistral incident bot",
            "description": "Triages incidents of Mistral AI products",
        },
        "features": {
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
            "shortcuts": [
                {
                    "name": "Add to the timeline",
                    "type": "message",
                    "callback_id": "add_to_timeline",
                    "description": "Keeps the message in the incident's timeline",
                }
            ],
            "bot_user": {"display_name": "mistral-bot", "always_online": True},
            "slash_commands": [
                {
                    "command": "/mistral",
                    "description": "Triage a Mistral incident",
                    "usage_hint": "triage | declare | update | mitigate | resolve | help",
                    # people and channels come as ids
                    "should_escape": True,
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": sorted(SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True},
            "org_deploy_enabled": False,
            "socket_mode_enabled": True,
            "token_rotation_enabled": False,
        },
    }


def manifest_text() -> str:
    """The manifest as JSON, ready to paste under "Create an app from a manifest"."""
    return json.dumps(manifest(), indent=2) + "\n"
