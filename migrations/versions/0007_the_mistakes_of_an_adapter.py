"""Which images of its datasets an adapter gets wrong. Those that are there have no list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = "adapter_mistakes"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("adapter_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("prediction", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("adapter_id", "place", name="pk_adapter_mistakes"),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name="fk_adapter_mistakes_adapter_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id", "position"],
            ["dataset_images.dataset_id", "dataset_images.position"],
            name="fk_adapter_mistakes_dataset_id_position",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_adapter_mistakes_tenant_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_adapter_mistakes_image", TABLE, ["dataset_id", "position"])
    op.create_index("ix_adapter_mistakes_tenant_id", TABLE, ["tenant_id"])


def downgrade() -> None:
    op.drop_table(TABLE)
