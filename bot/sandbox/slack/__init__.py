"""Slack on loopback as its SDK meets it: the Web API, Socket Mode, signed HTTP delivery and response URLs."""

from bot.sandbox.slack.delivery import SIGNING_SECRET
from bot.sandbox.slack.model import Channel, Message, View
from bot.sandbox.slack.server import APP_TOKEN, BOT_TOKEN, SlackServer
from bot.sandbox.slack.workspace import Workspace

__all__ = ["APP_TOKEN", "BOT_TOKEN", "SIGNING_SECRET", "Channel", "Message", "SlackServer", "View", "Workspace"]
