"""The base of a job: a worker on another one does not take it. Jobs from before name none; any worker takes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("base_fingerprint", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "base_fingerprint")
