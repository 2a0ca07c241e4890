"""What a tenant says of an image of a collection, for searches to be narrowed by. Of those that are there: nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "collection_images"
INDEX = "ix_collection_images_metadata"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("metadata", JSONB(), server_default="{}", nullable=False))
    op.create_index(INDEX, TABLE, ["metadata"], postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"})


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.drop_column(TABLE, "metadata")
