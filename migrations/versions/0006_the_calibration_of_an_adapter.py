"""The calibration of an adapter: what its probabilities are worth, and what a stranger is. None, until now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapters", sa.Column("calibration", JSONB(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("adapters", "calibration")
