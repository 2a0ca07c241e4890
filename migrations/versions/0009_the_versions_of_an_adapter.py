"""Versions of an adapter. Those that are there become the first of their names, and published.

An adapter's `name` stays what it is found by, and unique: of several versions the published one has the name itself, so
that the version before, which knows no other, answers with it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapters", sa.Column("family", sa.String(), nullable=True))
    op.add_column("adapters", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.create_index(
        "uq_adapters_version", "adapters", ["tenant_id", sa.text("coalesce(family, name)"), "version"], unique=True
    )
    op.add_column("jobs", sa.Column("publish", sa.String(), server_default="auto", nullable=False))
    op.add_column("jobs", sa.Column("asked", JSONB(), nullable=True))
    op.create_table(
        "adapter_names",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_adapter_names"),
        _of_a_tenant("adapter_names"),
    )
    op.create_table(
        "adapter_answers",
        sa.Column("adapter_id", sa.String(), nullable=False),
        sa.Column("answers", JSONB(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("adapter_id", name="pk_adapter_answers"),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name="fk_adapter_answers_adapter_id", ondelete="CASCADE"
        ),
        _of_a_tenant("adapter_answers"),
    )
    op.create_index("ix_adapter_answers_tenant_id", "adapter_answers", ["tenant_id"])


def _created_at() -> sa.Column[object]:
    return sa.Column(
        "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
    )


def _of_a_tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE")


def downgrade() -> None:
    op.drop_table("adapter_answers")
    op.drop_table("adapter_names")
    op.drop_column("jobs", "asked")
    op.drop_column("jobs", "publish")
    op.drop_index("uq_adapters_version", "adapters")
    op.drop_column("adapters", "version")
    op.drop_column("adapters", "family")
