"""The manifest that an app is made from: for either mode, as the bot takes what Slack then sends."""

import json
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import TestClient, TestServer
from slack_bolt.async_app import AsyncApp

from bot.errors import SettingsError
from bot.sandbox.slack.delivery import SIGNING_SECRET, signed
from bot.slack.manifest import manifest
from bot.web.routes import Readiness, application

URLS = ("https://bot.example.com", "https://bot.example.com/", "https://bot.example.com/slack/events")


def test_without_a_url_it_is_for_socket_mode_and_names_none() -> None:
    made = manifest()
    assert made["settings"]["socket_mode_enabled"] is True
    assert "url" not in json.dumps(made)


@pytest.mark.parametrize("url", URLS)
def test_with_a_url_it_is_for_http_mode_and_differs_in_nothing_else(url: str) -> None:
    made, takes = manifest(url), "https://bot.example.com/slack/events"
    settings = made["settings"]
    assert settings.pop("socket_mode_enabled") is False
    assert made["features"]["slash_commands"][0].pop("url") == takes
    assert settings["interactivity"].pop("request_url") == takes
    assert settings["event_subscriptions"].pop("request_url") == takes
    usual = manifest()
    del usual["settings"]["socket_mode_enabled"]
    assert made == usual


async def test_where_slack_is_told_to_send_the_bot_answers_its_verification() -> None:
    path = urlsplit(manifest("https://bot.example.com")["settings"]["event_subscriptions"]["request_url"]).path
    bolt = AsyncApp(token="planted", signing_secret=SIGNING_SECRET)
    body = json.dumps({"type": "url_verification", "challenge": "said back"})
    headers = {"Content-Type": "application/json", **signed(body)}
    async with TestClient(TestServer(application(Readiness(), bolt))) as client:
        answer = await client.post(path, data=body, headers=headers)
        assert (answer.status, await answer.json()) == (200, {"challenge": "said back"})


@pytest.mark.parametrize(
    "url", ["", "bot.example.com", "http://bot.example.com", "https://", "https://[", "https://a b", "https://a?b=c"]
)
def test_what_slack_cannot_reach_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match="is no address for Slack"):
        manifest(url)
