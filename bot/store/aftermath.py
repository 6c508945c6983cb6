"""The tables of what follows an incident; as ``tables``, which see."""

from sqlalchemy import JSON, BigInteger, Column, Date, ForeignKey, Index, Integer, String, Table, Text

from bot.store.columns import ID, Moment, metadata

# Bundles that were asked for.
collections = Table(
    "collections",
    metadata,
    Column("id", String(32), primary_key=True),
    # NULL: it is about none
    Column("incident", ID, ForeignKey("incidents.id")),
    Column("target", String(200), nullable=False),
    Column("channel", String(40), nullable=False),
    Column("why", String(10), nullable=False),
    Column("asked_by", String(40), nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("since_s", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("begun_at", Moment),
    Column("ended_at", Moment),
    # how far it is, and then the bundle's file
    Column("doing", Text, nullable=False),
    Column("files", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("missing", JSON, nullable=False),
    Column("said", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Moment),
    Index("ix_collections_state", "state", "lease_until"),
    Index("ix_collections_incident", "incident"),
)

# One row an incident that has ended.
postmortems = Table(
    "postmortems",
    metadata,
    Column("incident", ID, ForeignKey("incidents.id"), primary_key=True, autoincrement=False),
    Column("state", String(12), nullable=False),
    # the newest of its versions; 0: nobody has written anything
    Column("version", Integer, nullable=False),
    Column("published", Integer),
    Column("published_at", Moment),
    Column("published_by", String(40)),
    Column("reminders", Integer, nullable=False),
    # when it is looked at next, and perhaps reminded of; NULL: not any more
    Column("remind_at", Moment),
    Index("ix_postmortems_remind_at", "remind_at"),
)

postmortem_versions = Table(
    "postmortem_versions",
    metadata,
    Column("incident", ID, ForeignKey("postmortems.incident"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("by", String(40), nullable=False),
    # the texts that people wrote, by section
    Column("written", JSON, nullable=False),
    Column("confirmed_by", String(40)),
)

actions = Table(
    "actions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("incident", ID, ForeignKey("incidents.id"), nullable=False),
    Column("text", Text, nullable=False),
    Column("priority", String(2), nullable=False),
    Column("owner", String(40)),
    Column("due", Date, nullable=False),
    Column("state", String(10), nullable=False),
    Column("created_by", String(40), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("closed_by", String(40)),
    Column("closed_at", Moment),
    Column("reminders", Integer, nullable=False),
    Column("remind_at", Moment),
    Column("version", Integer, nullable=False),
    Index("ix_actions_incident", "incident"),
    Index("ix_actions_owner", "owner", "state"),
    Index("ix_actions_state", "state", "due"),
    Index("ix_actions_remind_at", "remind_at"),
    sqlite_autoincrement=True,
)
