"""Channels, messages and people in the sandbox's Slack, asked by the real SDK."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import BOT_TOKEN, Message, SlackServer
from bot.sandbox.slack.model import BOT_USER, Person
from bot.sandbox.world import World
from tests.clusters import serve

HERE = "C0INCIDENTS"
METADATA = {"event_type": "delivery", "event_payload": {"id": "d-1"}}


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    held = SlackServer(World(scenario=load_scenarios()["all is well"]))
    async with serve(held.application()) as url:
        held.workspace.base_url = url
        yield held


@pytest.fixture
def client(server: SlackServer) -> AsyncWebClient:
    base_url = f"{server.workspace.base_url}/api/"
    return AsyncWebClient(token=BOT_TOKEN, base_url=base_url, retry_handlers=[])


async def refused(client: AsyncWebClient, method: str, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as told:
        await client.api_call(method, json=arguments)
    held = told.value.response
    assert held.status_code == 200
    return dict(held.data)


async def word(client: AsyncWebClient, method: str, **arguments: Any) -> str:
    return str((await refused(client, method, **arguments))["error"])


async def test_a_channel_of_its_own_is_made_filled_named_and_archived(
    server: SlackServer, client: AsyncWebClient
) -> None:
    made = (await client.conversations_create(name="inc-1-slow"))["channel"]
    channel = server.workspace.channels[made["id"]]
    assert (channel.name, channel.members, channel.is_private) == ("inc-1-slow", {BOT_USER}, False)
    await client.conversations_invite(channel=channel.id, users=["U0APPROVER", "U0NAMELESS"])
    await client.conversations_setTopic(channel=channel.id, topic="P1")
    await client.conversations_rename(channel=channel.id, name="inc-1-done")
    held = (await client.conversations_info(channel=channel.id))["channel"]
    assert (held["name"], held["topic"]["value"], held["num_members"]) == ("inc-1-done", "P1", 3)
    assert held["previous_names"] == ["inc-1-slow"]
    await client.conversations_archive(channel=channel.id)
    for method in ("chat.postMessage", "conversations.setTopic", "conversations.rename", "conversations.join"):
        assert await word(client, method, channel=channel.id, text="x", topic="x", name="y") == "is_archived"
    assert await word(client, "conversations.archive", channel=channel.id) == "already_archived"
    assert await word(client, "conversations.create", name="inc-1-done") == "name_taken"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "invalid_name_required"),
        ("x" * 81, "invalid_name_maxlength"),
        ("Inc 1", "invalid_name_specials"),
        ("inc-é", "invalid_name_specials"),
        ("-_-", "invalid_name_punctuation"),
        ("incidents", "name_taken"),
    ],
)
async def test_a_name_that_slack_does_not_take_is_refused(client: AsyncWebClient, name: str, error: str) -> None:
    assert await word(client, "conversations.create", name=name) == error


async def test_a_name_of_80_characters_is_taken(client: AsyncWebClient) -> None:
    assert (await client.conversations_create(name="x" * 80))["channel"]["name"] == "x" * 80


async def test_an_invitation_is_all_or_nothing_unless_it_is_forced(server: SlackServer, client: AsyncWebClient) -> None:
    server.workspace.people["U0ONE"] = Person(id="U0ONE", is_restricted=True, is_ultra_restricted=True)
    made = server.workspace.add_channel("inc-2", members={BOT_USER, "U0APPROVER"})
    everybody = f"U0COMMANDER,U0APPROVER,U0NOBODY,U0ONE,{BOT_USER}"
    told = await refused(client, "conversations.invite", channel=made.id, users=everybody)
    assert {held["user"]: held["error"] for held in told["errors"]} == {
        "U0APPROVER": "already_in_channel",
        "U0NOBODY": "user_not_found",
        "U0ONE": "ura_max_channels",
        BOT_USER: "cant_invite_self",
    }
    assert made.members == {BOT_USER, "U0APPROVER"}
    await client.conversations_invite(channel=made.id, users=everybody, force=True)
    assert made.members == {BOT_USER, "U0APPROVER", "U0COMMANDER"}


async def test_the_list_comes_in_pages_without_what_the_bot_may_not_see(
    server: SlackServer, client: AsyncWebClient
) -> None:
    slack = server.workspace
    slack.add_channel("secret", is_private=True, members={"U0APPROVER"})
    slack.add_channel("ours", is_private=True)
    slack.add_channel("old").is_archived = True
    names = []
    async for answer in await client.conversations_list(
        types="public_channel,private_channel", limit=2, exclude_archived=True
    ):
        assert len(answer["channels"]) <= 2
        names += [channel["name"] for channel in answer["channels"]]
    assert names == ["incidents", "general", "ours"]
    public = (await client.conversations_list())["channels"]
    assert [channel["name"] for channel in public] == ["incidents", "general", "old"]
    assert await word(client, "conversations.list", cursor="?") == "invalid_cursor"


async def test_a_bot_that_was_thrown_out_is_told_so_by_what_needs_a_member(
    server: SlackServer, client: AsyncWebClient
) -> None:
    slack = server.workspace
    sent = await client.chat_postMessage(channel=HERE, text="card")
    private = slack.add_channel("private", is_private=True)
    slack.expel_bot(HERE)
    slack.expel_bot(private.id)
    assert await word(client, "pins.add", channel=HERE, timestamp=sent["ts"]) == "not_in_channel"
    assert await word(client, "conversations.history", channel=HERE) == "not_in_channel"
    for method in ("chat.postMessage", "conversations.history", "conversations.info"):
        assert await word(client, method, channel=private.id, text="x") == "channel_not_found"
    await client.chat_postMessage(channel=HERE, text="chat:write.public lets it in")
    slack.scopes.discard("chat:write.public")
    assert await word(client, "chat.postMessage", channel=HERE, text="x") == "not_in_channel"
    await client.conversations_join(channel=HERE)
    await client.chat_postMessage(channel=HERE, text="back")


async def test_history_comes_newest_first_between_two_times_and_in_pages(
    server: SlackServer, client: AsyncWebClient
) -> None:
    sent = [(await client.chat_postMessage(channel=HERE, text=f"m{n}"))["ts"] for n in range(5)]
    await client.chat_postMessage(channel=HERE, text="reply", thread_ts=sent[1])
    await client.chat_postMessage(channel="C0GENERAL", text="elsewhere")
    await client.chat_postEphemeral(channel=HERE, text="whisper", user="U0GUEST")

    async def texts(**arguments: Any) -> list[str]:
        return [one["text"] for one in (await client.conversations_history(channel=HERE, **arguments))["messages"]]

    assert await texts() == ["m4", "m3", "m2", "m1", "m0"]
    assert await texts(oldest=sent[1], latest=sent[3]) == ["m2"]
    assert await texts(oldest=sent[1], latest=sent[3], inclusive=True) == ["m3", "m2", "m1"]
    first = await client.conversations_history(channel=HERE, limit=2)
    assert ([one["text"] for one in first["messages"]], first["has_more"]) == (["m4", "m3"], True)
    assert await texts(limit=3, cursor=first["response_metadata"]["next_cursor"]) == ["m2", "m1", "m0"]
    (parent,) = (one for one in (await client.conversations_history(channel=HERE))["messages"] if "thread_ts" in one)
    assert (parent["text"], parent["reply_count"]) == ("m1", 1)
    answers = (await client.conversations_replies(channel=HERE, ts=sent[1]))["messages"]
    assert [one["text"] for one in answers] == ["m1", "reply"]
    assert await word(client, "conversations.replies", channel=HERE, ts="1.0") == "thread_not_found"


async def test_metadata_comes_back_only_where_it_is_asked_for(client: AsyncWebClient) -> None:
    sent = await client.chat_postMessage(channel=HERE, text="card", metadata=METADATA)
    await client.chat_postMessage(channel=HERE, thread_ts=sent["ts"], text="reply", metadata=METADATA)
    await client.chat_update(channel=HERE, ts=sent["ts"], text="card 2")
    for asked in (True, False):
        history = await client.conversations_history(channel=HERE, include_all_metadata=asked)
        thread = await client.conversations_replies(channel=HERE, ts=sent["ts"], include_all_metadata=asked)
        held = [one.get("metadata") for one in (*history["messages"], *thread["messages"])]
        assert held == [METADATA if asked else None] * 3
    for wrong in ({"event_type": "x"}, {"event_type": "", "event_payload": {}}):
        assert await word(client, "chat.postMessage", channel=HERE, text="x", metadata=wrong) == (
            "invalid_metadata_format"
        )


async def test_what_hangs_on_a_message_is_added_once(server: SlackServer, client: AsyncWebClient) -> None:
    sent = await client.chat_postMessage(channel=HERE, text="card")
    place = {"channel": HERE, "timestamp": sent["ts"]}
    await client.pins_add(**place)
    assert await word(client, "pins.add", **place) == "already_pinned"
    assert [one["message"]["ts"] for one in (await client.pins_list(channel=HERE))["items"]] == [sent["ts"]]
    await client.pins_remove(**place)
    assert await word(client, "pins.remove", **place) == "no_pin"
    await client.reactions_add(**place, name="eyes")
    assert await word(client, "reactions.add", **place, name="eyes") == "already_reacted"
    link = await client.chat_getPermalink(channel=HERE, message_ts=sent["ts"])
    assert link["permalink"].endswith(f"/{HERE}/p{sent['ts'].replace('.', '')}")
    await client.pins_add(**place)
    await client.chat_delete(channel=HERE, ts=sent["ts"])
    assert (server.workspace.messages, server.workspace.channels[HERE].pins) == ([], [])
    assert await word(client, "pins.add", **place) == "message_not_found"
    foreign = server.workspace.add(Message(HERE, "1.0", "U0APPROVER", "mine"))
    assert await word(client, "chat.delete", channel=HERE, ts=foreign.ts) == "cant_delete_message"
    assert await word(client, "chat.update", channel=HERE, ts=foreign.ts, text="x") == "cant_update_message"


async def test_people_have_names_or_none_and_guests_are_told_apart(client: AsyncWebClient) -> None:
    robin, guest, nameless = [
        (await client.users_info(user=user))["user"] for user in ("U0REQUESTER", "U0GUEST", "U0NAMELESS")
    ]
    assert (robin["real_name"], robin["is_restricted"]) == ("Robin", False)
    assert (guest["is_restricted"], guest["is_ultra_restricted"]) == (True, False)
    assert "real_name" not in nameless
    assert nameless["profile"]["display_name"] == ""
    assert await word(client, "users.info", user="U0NOBODY") == "user_not_found"


async def test_a_direct_message_goes_by_the_person_or_the_opened_channel(
    server: SlackServer, client: AsyncWebClient
) -> None:
    opened = (await client.conversations_open(users="U0APPROVER"))["channel"]["id"]
    sent = await client.chat_postMessage(channel="U0APPROVER", text="for you")
    assert sent["channel"] == opened == server.workspace.direct("U0APPROVER").id
    assert await word(client, "chat.postEphemeral", channel=opened, user="U0GUEST", text="x") == "user_not_in_channel"


@pytest.mark.parametrize(
    ("method", "arguments", "lost", "needed"),
    [
        ("conversations.create", {"name": "x"}, "channels:manage", "channels:manage"),
        ("conversations.create", {"name": "x", "is_private": True}, "groups:write", "groups:write"),
        ("conversations.list", {"types": "public_channel,private_channel"}, "groups:read", "groups:read"),
        ("conversations.history", {"channel": HERE}, "channels:history", "channels:history"),
        ("pins.add", {"channel": HERE}, "pins:write", "pins:write"),
        ("reactions.add", {"channel": HERE}, "reactions:write", "reactions:write"),
        ("users.info", {"user": "U0GUEST"}, "users:read", "users:read"),
        ("usergroups.list", {}, "usergroups:read", "usergroups:read"),
        ("usergroups.users.list", {"usergroup": "S0ONCALL"}, "usergroups:read", "usergroups:read"),
        ("chat.delete", {"channel": HERE}, "chat:write", "chat:write"),
    ],
)
async def test_a_scope_that_the_token_lacks_is_named(
    server: SlackServer, client: AsyncWebClient, method: str, arguments: dict[str, Any], lost: str, needed: str
) -> None:
    server.workspace.scopes.discard(lost)
    told = await refused(client, method, **arguments)
    assert (told["error"], told["needed"]) == ("missing_scope", needed)
    assert lost not in told["provided"].split(",")


async def test_one_of_two_scopes_does(server: SlackServer, client: AsyncWebClient) -> None:
    server.workspace.scopes.discard("channels:manage")
    await client.conversations_setTopic(channel=HERE, topic="still")
    server.workspace.scopes.discard("channels:write.topic")
    told = await refused(client, "conversations.setTopic", channel=HERE, topic="no more")
    assert told["needed"] == "channels:manage,channels:write.topic"
    assert (await client.usergroups_list())["usergroups"][0]["handle"] == "on-call"


async def test_who_is_in_a_user_group_is_told_and_another_is_not_there(
    server: SlackServer, client: AsyncWebClient
) -> None:
    held = await client.usergroups_users_list(usergroup="S0ONCALL")
    assert held["users"] == ["U0APPROVER", "U0COMMANDER"]
    server.workspace.usergroup_members["S0ONCALL"].remove("U0APPROVER")
    assert (await client.usergroups_users_list(usergroup="S0ONCALL"))["users"] == ["U0COMMANDER"]
    for group, error in (("S0NOBODY", "no_such_subteam"), ("", "invalid_arguments")):
        assert (await refused(client, "usergroups.users.list", usergroup=group))["error"] == error
