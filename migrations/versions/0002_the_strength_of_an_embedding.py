"""The strength of an embedding: an adapter between the base and itself has embeddings of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLD = "uq_image_embeddings_image_id_base_fingerprint_adapter_id"
NEW = "uq_image_embeddings_space"
COLUMNS = ["image_id", "base_fingerprint", "adapter_id"]


def upgrade() -> None:
    op.add_column("image_embeddings", sa.Column("strength", sa.Float(), server_default="1", nullable=False))
    op.drop_constraint(OLD, "image_embeddings", type_="unique")
    op.create_unique_constraint(NEW, "image_embeddings", [*COLUMNS, "strength"], postgresql_nulls_not_distinct=True)


def downgrade() -> None:
    op.execute("DELETE FROM image_embeddings WHERE strength <> 1")
    op.drop_constraint(NEW, "image_embeddings", type_="unique")
    op.create_unique_constraint(OLD, "image_embeddings", COLUMNS, postgresql_nulls_not_distinct=True)
    op.drop_column("image_embeddings", "strength")
