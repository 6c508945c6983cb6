"""The methods of the Web API that the bot uses, with the errors that Slack gives; any other is ``unknown_method``."""

from collections.abc import Callable
from typing import Any

from bot.sandbox.slack import methods_chat as chat
from bot.sandbox.slack import methods_conversations as conversations
from bot.sandbox.slack import methods_history as said
from bot.sandbox.slack import methods_views as views
from bot.sandbox.slack import scopes
from bot.sandbox.slack.limits import SlackRefusal
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import BOT_ID, BOT_USER, TEAM, Person

Arguments = dict[str, Any]
Answer = dict[str, Any]


def call(workspace: Memory, method: str, arguments: Arguments) -> Answer:
    """What the bot's token gets; raises SlackRefusal."""
    scopes.check(workspace, method, arguments)
    return METHODS[method](workspace, arguments)


def api_test(workspace: Memory, arguments: Arguments) -> Answer:
    return {}


def auth_test(workspace: Memory, arguments: Arguments) -> Answer:
    return {
        "url": "http://sandbox/",
        "team": "Sandbox",
        "team_id": TEAM,
        "user": "mistral-bot",
        "user_id": BOT_USER,
        "bot_id": BOT_ID,
    }


def users_info(workspace: Memory, arguments: Arguments) -> Answer:
    person = workspace.people.get(str(arguments.get("user")))
    if person is None:
        raise SlackRefusal("user_not_found")
    return {"user": _shown(person)}


def _shown(person: Person) -> Answer:
    """A person without a name has none anywhere, and no ``real_name``."""
    names = {"real_name": person.name} if person.name else {}
    return {
        "id": person.id,
        "team_id": TEAM,
        "name": person.name.lower(),
        "deleted": False,
        **names,
        "profile": {"display_name": person.name, **names},
        "tz": person.tz,
        "is_admin": False,
        "is_owner": False,
        "is_bot": person.is_bot,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": person.is_ultra_restricted,
    }


def usergroups_list(workspace: Memory, arguments: Arguments) -> Answer:
    groups = workspace.usergroups.items()
    return {"usergroups": [{"id": group, "team_id": TEAM, "handle": name, "name": name} for group, name in groups]}


def usergroups_users_list(workspace: Memory, arguments: Arguments) -> Answer:
    group = str(arguments.get("usergroup") or "")
    if not group:
        raise SlackRefusal("invalid_arguments")
    if group not in workspace.usergroups:
        raise SlackRefusal("no_such_subteam")
    return {"users": list(workspace.usergroup_members.get(group, ()))}


METHODS: dict[str, Callable[[Memory, Arguments], Answer]] = {
    "api.test": api_test,
    "auth.test": auth_test,
    "chat.delete": chat.chat_delete,
    "chat.getPermalink": chat.chat_get_permalink,
    "chat.postEphemeral": chat.chat_post_ephemeral,
    "chat.postMessage": chat.chat_post_message,
    "chat.update": chat.chat_update,
    "conversations.archive": conversations.archive,
    "conversations.create": conversations.create,
    "conversations.history": said.history,
    "conversations.info": conversations.info,
    "conversations.invite": conversations.invite,
    "conversations.join": conversations.join,
    "conversations.list": conversations.list_,
    "conversations.members": conversations.members,
    "conversations.open": conversations.open_,
    "conversations.rename": conversations.rename,
    "conversations.replies": said.replies,
    "conversations.setTopic": conversations.set_topic,
    "files.completeUploadExternal": chat.complete_upload,
    "files.getUploadURLExternal": chat.get_upload_url,
    "pins.add": chat.pins_add,
    "pins.list": chat.pins_list,
    "pins.remove": chat.pins_remove,
    "reactions.add": chat.reactions_add,
    "usergroups.list": usergroups_list,
    "usergroups.users.list": usergroups_users_list,
    "users.info": users_info,
    "views.open": views.views_open,
    "views.publish": views.views_publish,
    "views.push": views.views_push,
    "views.update": views.views_update,
}
