"""The tables. A change here needs a migration in ``migrations/versions``; a test compares the two."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from bot.store.columns import ID, Moment, metadata

# The newest migration.
REVISION = "0005"
incidents = Table(
    "incidents",
    metadata,
    Column("id", ID, primary_key=True),
    Column("target", String(200), nullable=False),
    Column("title", Text, nullable=False),
    Column("severity", String(2), nullable=False),
    Column("status", String(20), nullable=False),
    Column("impact", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("components", JSON, nullable=False),
    Column("cause", String(100)),
    Column("triage", String(32)),
    Column("roles", JSON, nullable=False),
    Column("milestones", JSON, nullable=False),
    Column("declared_by", String(40), nullable=False),
    Column("declared_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("channel", String(40), nullable=False),
    Column("own_channel", String(40)),
    Column("next_update_at", Moment),
    Column("remind_at", Moment),
    Column("nudge_at", Moment),
    Column("nudges", Integer, nullable=False),
    Column("snoozes", Integer, nullable=False),
    Column("respond_by", Moment),
    Column("escalate_at", Moment),
    Column("escalations", Integer, nullable=False),
    Column("resolved_at", Moment),
    Column("version", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("last_hash", String(64), nullable=False),
    # when the next of its clocks fires; NULL: none runs
    Column("due_at", Moment),
    Index("ix_incidents_due_at", "due_at"),
    Index("ix_incidents_status", "status", "id"),
    Index("ix_incidents_cause", "cause", "id"),
    sqlite_autoincrement=True,
)

timeline = Table(
    "timeline",
    metadata,
    Column("incident", ID, ForeignKey("incidents.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("noted", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", String(40), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", ID, primary_key=True),
    # what Slack keeps in the message's metadata, so that it can be looked for
    Column("id", String(32), nullable=False),
    # NULL: a proposal, which has none
    Column("incident", ID, ForeignKey("incidents.id")),
    Column("kind", String(20), nullable=False),
    Column("destination", String(40), nullable=False),
    Column("template", String(60), nullable=False),
    Column("context", JSON, nullable=False),
    Column("aloud", Boolean, nullable=False),
    Column("priority", String(20), nullable=False),
    Column("state", String(10), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("lease_until", Moment),
    Column("attempts", Integer, nullable=False),
    # whether an attempt may have arrived without our knowing
    Column("unsure", Boolean, nullable=False, server_default=false()),
    # of a card: how often it was asked for; it is sent again until it is as new as that
    Column("wanted", Integer, nullable=False),
    # of a message that arrived: where
    Column("channel", String(40)),
    Column("ts", String(40)),
    Column("error", Text),
    UniqueConstraint("id"),
    Index("ix_deliveries_waiting", "state", "due_at"),
    Index("ix_deliveries_order", "incident", "destination", "state", "seq"),
    Index("ix_deliveries_template", "template", "kind"),
    sqlite_autoincrement=True,
)

# Requests that were carried out: a click that is delivered twice is done once.
requests = Table(
    "requests",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("incident", ID),
)

triages = Table(
    "triages",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("target", String(200), nullable=False),
    Column("at", Moment, nullable=False),
    Column("report", JSON, nullable=False),
    Index("ix_triages_target_at", "target", "at"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("incident", ID, ForeignKey("incidents.id"), nullable=False),
    Column("target", String(200), nullable=False),
    Column("remedy", String(100), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("severity", String(2), nullable=False),
    Column("state", String(20), nullable=False),
    Column("outcome", String(20)),
    Column("requested_by", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("never", Text, nullable=False),
    Column("temporary", Boolean, nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("plan", JSON(none_as_null=True)),
    Column("approve_by", Moment),
    Column("start_by", Moment),
    Column("approvals", JSON, nullable=False),
    Column("said", Text, nullable=False),
    Column("applied_at", Moment),
    Column("ended_at", Moment),
    Column("reverted_by", String(32)),
    Column("kept", Text, nullable=False),
    Column("remind_at", Moment),
    Column("fence", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # the deployment that it changes just now, and nothing else may; NULL: none
    Column("lock", String(600)),
    # when the next of its clocks fires; NULL: none runs
    Column("due_at", Moment),
    # of one that is worked on: until when by one process alone; NULL: by nobody
    Column("lease_until", Moment),
    UniqueConstraint("lock"),
    Index("ix_runs_incident", "incident", "requested_at"),
    Index("ix_runs_state", "state", "lease_until"),
    Index("ix_runs_due_at", "due_at"),
    Index("ix_runs_target", "target", "applied_at"),
)

# One row, from the migration: whoever lets a run begin, or turns the switch, holds it.
switches = Table(
    "switches",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("frozen_by", String(40)),
    Column("frozen_at", Moment),
    Column("reason", Text, nullable=False),
)

# An alert is its fingerprint and when it began; whatever else is told of it, is told of the same one.
alerts = Table(
    "alerts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("key", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    Column("url", Text, nullable=False),
    # what its rule says: open, propose or note, how severe, where
    Column("does", String(10), nullable=False),
    Column("severity", String(2), nullable=False),
    Column("target", String(200), nullable=False),
    # NULL: it fires
    Column("ends_at", Moment),
    # when it was told of last; of one that is over, when we heard of that
    Column("seen_at", Moment, nullable=False),
    # whether what is stored here has been worked in, and what it was worked into
    Column("told", Boolean, nullable=False),
    Column("incident", ID, ForeignKey("incidents.id")),
    Column("proposal", String(32)),
    UniqueConstraint("fingerprint", "starts_at"),
    Index("ix_alerts_key", "key", "told"),
    Index("ix_alerts_seen_at", "seen_at"),
    Index("ix_alerts_incident", "incident"),
    Index("ix_alerts_proposal", "proposal"),
    sqlite_autoincrement=True,
)

# One row a key, which whoever works its alerts in holds: so that a key has one open incident.
alert_keys = Table(
    "alert_keys",
    metadata,
    Column("key", String(64), primary_key=True),
    # the labels that make it
    Column("named", JSON, nullable=False),
    # the strongest that the rules say of the alerts that fire: open, propose or note
    Column("does", String(10), nullable=False),
    Column("severity", String(2), nullable=False),
    Column("target", String(200), nullable=False),
    Column("incident", ID, ForeignKey("incidents.id")),
    # the card that proposes an incident; a new one for each time that the key fires anew
    Column("proposal", String(32)),
    Column("triage", String(32)),
    # the groups of Alertmanager's whose newest payload left alerts out, each by a hash
    Column("truncated", JSON, nullable=False),
    # alerts wait to be worked in
    Column("waiting", Boolean, nullable=False),
    # when a triage is to run and how often it was begun; when it is to be asked whether the incident is over, and was
    Column("triage_at", Moment),
    Column("triages", Integer, nullable=False),
    Column("ask_at", Moment),
    Column("asked_at", Moment),
    Column("lease_until", Moment),
    UniqueConstraint("proposal"),
    Index("ix_alert_keys_waiting", "waiting"),
    Index("ix_alert_keys_triage_at", "triage_at"),
    Index("ix_alert_keys_ask_at", "ask_at"),
    Index("ix_alert_keys_incident", "incident"),
)

# How the provider fares, one row an open incident.
watches = Table(
    "watches",
    metadata,
    Column("incident", ID, ForeignKey("incidents.id"), primary_key=True, autoincrement=False),
    # the incidents on the provider's page that the timeline has been told of, and that last
    Column("provider", JSON, nullable=False),
    # why the page could not be read when it was last looked at; empty: it could
    Column("unread", Text, nullable=False),
    # how often in a row the API was well, and whether that was announced
    Column("successes", Integer, nullable=False),
    Column("announced", Boolean, nullable=False),
    Column("page_at", Moment),
    Column("probe_at", Moment),
    # the earlier of both; NULL: it is over
    Column("due_at", Moment),
    Column("lease_until", Moment),
    Index("ix_watches_due_at", "due_at"),
)

public_incidents = Table(
    "public_incidents",
    metadata,
    Column("incident", ID, ForeignKey("incidents.id"), primary_key=True, autoincrement=False),
    Column("slug", String(32), nullable=False),
    Column("title", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("impact", String(10), nullable=False),
    Column("components", JSON, nullable=False),
    Column("began_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    UniqueConstraint("slug"),
    Index("ix_public_incidents_began_at", "began_at"),
    Index("ix_public_incidents_status", "status"),
)

public_updates = Table(
    "public_updates",
    metadata,
    Column("seq", ID, primary_key=True),
    Column("incident", ID, ForeignKey("public_incidents.incident"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("workaround", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", String(40), nullable=False),
    UniqueConstraint("incident", "number"),
    sqlite_autoincrement=True,
)

# What somebody has filled in and not yet sent.
drafts = Table(
    "drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("incident", ID, ForeignKey("incidents.id"), nullable=False),
    Column("by", String(40), nullable=False),
    Column("at", Moment, nullable=False),
    Column("held", JSON, nullable=False),
)
