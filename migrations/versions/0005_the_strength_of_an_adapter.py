"""The strength of an adapter: how much of its delta answers where a request names none. All of it, until now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapters", sa.Column("strength", sa.Float(), nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("adapters", "strength")
