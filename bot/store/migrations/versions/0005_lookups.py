"""By what a card and a bundle are looked up among everything that was ever sent."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_deliveries_template", "deliveries", ["template", "kind"], unique=False)
