"""Several keys a tenant, quotas, an audit log, and tenants that are being removed.

`tenants.key_sha256` stays, for the version before reads and writes it; a tenant that it makes gets its row in
`tenant_keys` when its key is used or listed. Files that are there are measured by the sweeper.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.add_column("tenants", sa.Column("quota", JSONB(), server_default="{}", nullable=False))
    op.add_column("tenants", sa.Column("deleted_at", TIMESTAMP(timezone=True), nullable=True))
    op.create_index("ix_tenants_listed", "tenants", ["created_at", "id"])
    op.create_index("ix_tenants_deleted", "tenants", ["deleted_at"], postgresql_where=sa.text("deleted_at IS NOT NULL"))
    op.add_column("jobs", sa.Column("key_id", sa.String(), nullable=True))
    for table in ("datasets", "collection_images"):
        op.add_column(table, sa.Column("size_bytes", sa.BigInteger(), nullable=True))
        op.create_index(f"ix_{table}_unmeasured", table, ["id"], postgresql_where=sa.text("size_bytes IS NULL"))
    _create_keys()
    _create_audit_log()


def _create_keys() -> None:
    op.create_table(
        "tenant_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("last_used_at", TIMESTAMP(timezone=True), nullable=True),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant_keys"),
        sa.UniqueConstraint("sha256", name="uq_tenant_keys_sha256"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_tenant_keys_tenant_id", ondelete="CASCADE"),
    )
    op.create_index("ix_tenant_keys_tenant_id", "tenant_keys", ["tenant_id"])
    op.create_index("ix_tenant_keys_listed", "tenant_keys", ["tenant_id", "created_at", "id"])
    op.execute(
        "INSERT INTO tenant_keys (id, tenant_id, name, sha256, created_at)"
        " SELECT 'key_' || replace(gen_random_uuid()::text, '-', ''), id, 'first', key_sha256, created_at FROM tenants"
    )


def _create_audit_log() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("details", JSONB(), server_default="{}", nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_listed", "audit_events", ["tenant_id", "created_at", "id"])
    op.create_index("ix_audit_events_created_at", "audit_events", ["created_at"])


def downgrade() -> None:
    for table in ("audit_events", "tenant_keys"):
        op.drop_table(table)
    for table in ("datasets", "collection_images"):
        op.drop_index(f"ix_{table}_unmeasured", table)
        op.drop_column(table, "size_bytes")
    op.drop_column("jobs", "key_id")
    op.drop_index("ix_tenants_deleted", "tenants")
    op.drop_index("ix_tenants_listed", "tenants")
    op.drop_column("tenants", "deleted_at")
    op.drop_column("tenants", "quota")
