"""The client of Slack's Web API, as the settings have it: token, address, proxy and certificates."""

from slack_sdk.web.async_client import AsyncWebClient

from bot.clients.proxies import proxy_for
from bot.clients.trust import trust
from bot.settings import Settings

_TIMEOUT_S = 15


def web_client(settings: Settings, *, timeout_s: int = _TIMEOUT_S) -> AsyncWebClient:
    """A client of Slack's Web API with the settings' token, proxy and certificates."""
    slack, network = settings.slack, settings.network
    proxy = proxy_for(slack.api_url, network)
    client = AsyncWebClient(
        token=None if slack.bot_token is None else slack.bot_token.reveal(),
        base_url=slack.api_url,
        timeout=timeout_s,
        proxy=proxy,
        ssl=trust(network.ca_file),
        trust_env_in_session=False,
        retry_handlers=[],
    )
    # without one it looks in the environment itself, and knows no NO_PROXY
    client.proxy = proxy
    return client
