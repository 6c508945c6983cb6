"""What is Bolt's own part? An AsyncApp that acknowledges and does nothing else, over HTTP, as its tutorial has it.

usage: python -m bench.bare PORT, with SLACK_SIGNING_SECRET and SLACK_BOT_TOKEN. It ends with stdin.
"""

import asyncio
import os
import sys

from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult


async def _authorize() -> AuthorizeResult:
    """Else it would ask Slack with every request, which the bot does not either."""
    token = os.environ["SLACK_BOT_TOKEN"]
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_id="B1", bot_user_id="U1", bot_token=token)


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


async def main(port: int) -> None:
    app = AsyncApp(authorize=_authorize)
    app.command("/mistral")(_acknowledge)
    app.event("message")(_acknowledge)
    runner = web.AppRunner(app.web_app("/slack/events"), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
