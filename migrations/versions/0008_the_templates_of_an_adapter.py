"""The templates of an adapter that was trained with several; `template` is the first of them, or the one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapters", sa.Column("templates", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("adapters", "templates")
