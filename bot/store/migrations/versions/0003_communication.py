"""Alerts, the provider's watch, what the public is told, and drafts of it; a proposal's card has no incident."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("incidents", sa.Column("triage", sa.String(length=32), nullable=True))
    # SQLite cannot change a column: the table is made anew
    with op.batch_alter_table("deliveries", table_kwargs={"sqlite_autoincrement": True}) as deliveries:
        deliveries.alter_column("incident", existing_type=_ID, nullable=True)
    _alerts()
    _watches()
    _public()
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("incident", _ID, nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("held", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_drafts_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("starts_at", _MOMENT, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("does", sa.String(length=10), nullable=False),
        sa.Column("severity", sa.String(length=2), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("incident", _ID, nullable=True),
        sa.Column("proposal", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_alerts_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("fingerprint", "starts_at", name=op.f("uq_alerts_fingerprint_starts_at")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_key", "alerts", ["key", "told"], unique=False)
    for column in ("seen_at", "incident", "proposal"):
        op.create_index(f"ix_alerts_{column}", "alerts", [column], unique=False)
    op.create_table(
        "alert_keys",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("named", sa.JSON(), nullable=False),
        sa.Column("does", sa.String(length=10), nullable=False),
        sa.Column("severity", sa.String(length=2), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("incident", _ID, nullable=True),
        sa.Column("proposal", sa.String(length=32), nullable=True),
        sa.Column("triage", sa.String(length=32), nullable=True),
        sa.Column("truncated", sa.JSON(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("triage_at", _MOMENT, nullable=True),
        sa.Column("triages", sa.Integer(), nullable=False),
        sa.Column("ask_at", _MOMENT, nullable=True),
        sa.Column("asked_at", _MOMENT, nullable=True),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_alert_keys_incident")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alert_keys")),
        sa.UniqueConstraint("proposal", name=op.f("uq_alert_keys_proposal")),
    )
    for column in ("waiting", "triage_at", "ask_at", "incident"):
        op.create_index(f"ix_alert_keys_{column}", "alert_keys", [column], unique=False)


def _watches() -> None:
    op.create_table(
        "watches",
        sa.Column("incident", _ID, autoincrement=False, nullable=False),
        sa.Column("provider", sa.JSON(), nullable=False),
        sa.Column("unread", sa.Text(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("announced", sa.Boolean(), nullable=False),
        sa.Column("page_at", _MOMENT, nullable=True),
        sa.Column("probe_at", _MOMENT, nullable=True),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_watches_incident")),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_watches")),
    )
    op.create_index("ix_watches_due_at", "watches", ["due_at"], unique=False)


def _public() -> None:
    op.create_table(
        "public_incidents",
        sa.Column("incident", _ID, autoincrement=False, nullable=False),
        sa.Column("slug", sa.String(length=32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("impact", sa.String(length=10), nullable=False),
        sa.Column("components", sa.JSON(), nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("resolved_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name=op.f("fk_public_incidents_incident")),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_public_incidents")),
        sa.UniqueConstraint("slug", name=op.f("uq_public_incidents_slug")),
    )
    op.create_index("ix_public_incidents_began_at", "public_incidents", ["began_at"], unique=False)
    op.create_index("ix_public_incidents_status", "public_incidents", ["status"], unique=False)
    op.create_table(
        "public_updates",
        sa.Column("seq", _ID, nullable=False),
        sa.Column("incident", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("workaround", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["public_incidents.incident"], name=op.f("fk_public_updates_incident")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_public_updates")),
        sa.UniqueConstraint("incident", "number", name=op.f("uq_public_updates_incident_number")),
        sqlite_autoincrement=True,
    )
