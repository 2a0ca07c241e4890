"""The class embeddings of an adapter, stored with its delta so that its first request need not make them.

Null in rows from before the column, in what the version before writes, and in imported adapters.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapter_deltas", sa.Column("class_embeddings", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("adapter_deltas", "class_embeddings")
