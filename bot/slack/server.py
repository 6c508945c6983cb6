"""The Bolt app and its connection to Slack: Socket Mode where there is an app token, else signed HTTP requests."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError

from bot.correlation import about, ids, new_request
from bot.errors import MessageError
from bot.measures import ACKS
from bot.ports import Reply
from bot.settings import Settings
from bot.slack.listeners import Listeners
from bot.slack.messenger import SlackMessenger

logger = logging.getLogger(__name__)

_RETRY_S = 5.0
_HEARTBEAT_S = 10.0
# The SDK opens another socket by itself where one has gone. It does so without a bound, though, and tries one address
# ever again, which Slack has made for one use: after so long all is begun anew.
_OPEN_WITHIN_S, _DEAF_S = 20.0, 30.0
_ANOTHER_VERSION = "The bot does not understand this form, which another version of it has made. Open it anew."
_KINDS = frozenset(
    {"command", "event_callback", "block_actions", "view_submission", "view_closed", "message_action", "shortcut"}
)


class _MeasuredApp(AsyncApp):
    """Bolt, which all that comes from Slack passes through, by HTTP and by Socket Mode."""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        began = time.monotonic()
        # what the listeners start belongs to it, too; what came over HTTP has one already
        with contextlib.nullcontext() if "request" in ids() else about(request=new_request()):
            answer = await super().async_dispatch(req)
        ACKS.labels(_kind(req.body), str(answer.status)).observe(time.monotonic() - began)
        return answer


def _kind(body: Mapping[str, Any]) -> str:
    """What Slack calls it; of what is not signed nobody knows more than that it is no known kind."""
    held = "command" if "command" in body else body.get("type")
    return held if held in _KINDS else "other"


@dataclass
class SlackServer:
    """Bolt with the listeners; ``connect`` keeps trying, so that a Slack that is down at start is survived."""

    settings: Settings
    messenger: SlackMessenger
    listeners: Listeners
    app: AsyncApp = field(init=False)
    _identity: dict[str, Any] = field(default_factory=dict)
    _socket: AsyncSocketModeHandler | None = None

    def __post_init__(self) -> None:
        slack = self.settings.slack

        # a function of its own: Bolt passes arguments by name, and takes the self of a method for one
        async def authorize() -> AuthorizeResult:
            return self._authorized()

        self.app = _MeasuredApp(
            # else it looks through all that calls it for one, which takes 20 ms
            name="mistral-bot",
            # else it makes one of the root's level, and warns at each start that the token is not used
            logger=logging.getLogger("slack_bolt"),
            client=self.messenger.client,
            signing_secret="" if slack.signing_secret is None else slack.signing_secret.reveal(),
            # Bolt's own way asks auth.test within the first acknowledgement, and loses the request if that fails
            authorize=authorize,
            request_verification_enabled=slack.app_token is None,
        )
        self.listeners.register(self.app)
        self.app.error(self._not_understood)

    def _authorized(self) -> AuthorizeResult:
        token = self.settings.slack.bot_token
        return AuthorizeResult(
            enterprise_id=None,
            team_id=self._identity.get("team_id"),
            bot_user_id=self._identity.get("user_id"),
            bot_id=self._identity.get("bot_id"),
            bot_token=None if token is None else token.reveal(),
        )

    async def _not_understood(self, error: Exception, body: dict[str, Any]) -> BoltResponse:
        """A listener failed before it said anything: a form tells it, in place of Slack's own "trouble connecting"."""
        logger.error("what Slack sent was not understood", exc_info=error)
        if _kind(body) != "view_submission":
            return BoltResponse(status=200)
        problem = Reply(template="problem_modal", context={"sentence": _ANOTHER_VERSION})
        answer = {"response_action": "update", "view": self.messenger.renderer.view(problem)}
        return BoltResponse(status=200, body=json.dumps(answer), headers={"content-type": ["application/json"]})

    async def connect(self) -> None:
        """Learns who the bot is and opens the socket; tries again until both have been done."""
        while True:
            try:
                self._identity = await self.messenger.hello()
                await self._open_socket()
            except MessageError as error:
                logger.warning("Slack is not there yet, trying again: %s", error)
            except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.warning("the socket to Slack was not opened, trying again: %s", type(error).__name__)
            except Exception:
                logger.exception("the socket to Slack was not opened, trying again")
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def stay_in_touch(self) -> None:
        """Connects, and from then on looks every ten seconds whether Slack answers, for ``/readyz``, and is heard."""
        await self.connect()
        heard = time.monotonic()
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            try:
                if self._socket is None or await self._socket.client.is_connected():
                    heard = time.monotonic()
                elif time.monotonic() - heard >= _DEAF_S:
                    logger.warning("the socket to Slack does not come back; another is opened")
                    try:
                        await self.close()
                    finally:
                        await self.connect()
                    heard = time.monotonic()
                await self.messenger.hello()
            except MessageError as error:
                logger.warning("Slack does not answer: %s", error)
            except Exception:
                logger.exception("nobody looked whether Slack is there; the next look does")

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.client.close()

    async def _open_socket(self) -> None:
        token = self.settings.slack.app_token
        if token is None:
            return
        self._socket = AsyncSocketModeHandler(self.app, app_token=token.reveal(), web_client=self.messenger.client)
        # as in messenger.web_client
        self._socket.client.proxy = self.messenger.client.proxy
        async with contextlib.AsyncExitStack() as unless_opened:
            unless_opened.push_async_callback(self.close)
            async with asyncio.timeout(_OPEN_WITHIN_S):
                await self._socket.client.connect()
            unless_opened.pop_all()
