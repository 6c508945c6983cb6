"""The Slack app manifest: exactly the command, events and scopes that are in use."""

import json
from typing import Any
from urllib.parse import urlsplit

from bot.domain.scopes import SCOPES
from bot.errors import SettingsError

EVENTS = ("app_home_opened", "app_mention", "message.channels", "message.groups", "reaction_added")
# where bot.web takes all that Slack sends
_PATH = "/slack/events"


def manifest(url: str | None = None) -> dict[str, Any]:
    """For Socket Mode, or for HTTP mode where Slack reaches the bot at ``url``; raises SettingsError."""
    made = _over_a_socket()
    if url is not None:
        takes = _endpoint(url)
        made["features"]["slash_commands"][0]["url"] = takes
        made["settings"]["event_subscriptions"]["request_url"] = takes
        made["settings"]["interactivity"]["request_url"] = takes
        made["settings"]["socket_mode_enabled"] = False
    return made


def _endpoint(url: str) -> str:
    """``url`` may end in the path already, as one that is copied from Slack's settings does."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise SettingsError([f"--url {url!r} is no address for Slack: say it as https://bot.example.com"])
    return url.rstrip("/").removesuffix(_PATH) + _PATH


def _over_a_socket() -> dict[str, Any]:
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


def manifest_text(url: str | None = None) -> str:
    """The manifest as JSON, ready to paste under "Create an app from a manifest"."""
    return json.dumps(manifest(url), indent=2) + "\n"
