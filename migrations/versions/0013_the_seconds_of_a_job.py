"""How long workers have been at a job, by phase, all attempts together; of jobs from before it is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("seconds", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "seconds")
