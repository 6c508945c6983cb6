"""The Slack scopes that the bot uses, and for what: the manifest asks for these, the doctor looks for them."""

SCOPES: dict[str, str] = {
    "app_mentions:read": "to offer a triage when it is mentioned",
    "channels:history": "to see the trigger phrases in public channels that it is in",
    "channels:manage": "to make an incident's own channel and invite people",
    "channels:read": "to find the channel of an incident again",
    "chat:write": "to post and update cards",
    "chat:write.public": "to answer a command in a public channel that it is not in",
    "commands": "to be asked by /mistral",
    "files:write": "to put the chart into the card's thread",
    "groups:read": "to look whether it is in a private channel",
    "groups:history": "to see the trigger phrases in private channels that it is in",
    "im:history": "to look whether a reminder to somebody has arrived before it is sent again",
    "im:write": "to remind the commander",
    "pins:write": "to pin an incident's card",
    "reactions:read": "to put a message with a pushpin into the timeline",
    "usergroups:read": "to look who is in the user groups that approve mitigations",
    "users:read": "to tell guests from others",
}
