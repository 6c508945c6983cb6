"""The Slack scopes that the bot uses, and for what: the manifest asks for these, the doctor looks for them."""

SCOPES: dict[str, str] = {
    "app_mentions:read": "to offer a triage when it is mentioned",
    "channels:history": "to see the trigger phrases in public channels that it is in",
    "chat:write": "to post and update cards",
    "chat:write.public": "to answer a command in a public channel that it is not in",
    "commands": "to be asked by /mistral",
    "files:write": "to put the chart into the card's thread",
    "groups:history": "to see the trigger phrases in private channels that it is in",
}
