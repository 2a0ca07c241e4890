"""Images that a tenant has once, whatever datasets and collections they are in, and their embeddings.

`dataset_images` and `collection_images` say who refers to an image; `adopted` tells that its file lies in the tenant's
folder, which is false of what is there and of what the version before writes: the sweeper sees to these
(saft_core/store/adoption.py). Nothing refers to `images` by a foreign key there, for the version before writes no row
of it; and it reads and writes `image_embeddings`, of which a copy goes into `embeddings`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")
MANIFESTS = {"dataset_images": "dataset_id", "collection_images": "collection_id"}


def upgrade() -> None:
    op.add_column("datasets", sa.Column("revision_of", sa.String(), nullable=True))
    for table in MANIFESTS:
        op.add_column(table, sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False))
    _create_images()
    _create_claims()
    _create_embeddings()
    for table, manifest in MANIFESTS.items():
        op.create_index(f"ix_{table}_references", table, ["tenant_id", "sha256"])
        op.create_index(f"ix_{table}_unadopted", table, [manifest], postgresql_where=sa.text("NOT adopted"))


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("kept_at", TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sha256", name="pk_images"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_images_tenant_id", ondelete="CASCADE"),
    )
    op.execute(
        "INSERT INTO images (tenant_id, sha256, media_type, size_bytes, kept_at)"
        " SELECT tenant_id, sha256, max(media_type), max(size_bytes), clock_timestamp() FROM ("
        "SELECT tenant_id, sha256, media_type, NULL::bigint AS size_bytes FROM dataset_images"
        " UNION ALL SELECT tenant_id, sha256, media_type, size_bytes FROM collection_images"
        ") AS files GROUP BY tenant_id, sha256"
    )
    op.create_index(
        "ix_images_kept",
        "images",
        ["tenant_id"],
        postgresql_include=["size_bytes"],
        postgresql_where=sa.text("kept_at IS NOT NULL"),
    )


def _create_claims() -> None:
    op.create_table(
        "image_claims",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("upload_id", sa.String(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sha256", "upload_id", name="pk_image_claims"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sha256"],
            ["images.tenant_id", "images.sha256"],
            name="fk_image_claims_tenant_id_sha256",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_image_claims_created_at", "image_claims", ["created_at"])


def _create_embeddings() -> None:
    op.create_table(
        "embeddings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("base_fingerprint", sa.String(), nullable=False),
        sa.Column("adapter_id", sa.String(), nullable=True),
        sa.Column("strength", sa.Float(), server_default="1", nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embeddings"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sha256"],
            ["images.tenant_id", "images.sha256"],
            name="fk_embeddings_tenant_id_sha256",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.id"], name="fk_embeddings_adapter_id", ondelete="CASCADE"),
    )
    op.create_unique_constraint(
        "uq_embeddings_space",
        "embeddings",
        ["tenant_id", "sha256", "base_fingerprint", "adapter_id", "strength"],
        postgresql_nulls_not_distinct=True,
    )
    op.execute(
        "INSERT INTO embeddings (tenant_id, sha256, base_fingerprint, adapter_id, strength, embedding)"
        " SELECT image.tenant_id, image.sha256, base_fingerprint, adapter_id, strength, embedding"
        " FROM image_embeddings AS made JOIN collection_images AS image ON image.id = made.image_id"
        " ORDER BY made.id ON CONFLICT DO NOTHING"
    )
    op.create_index("ix_embeddings_adapter_id", "embeddings", ["adapter_id"])


def downgrade() -> None:
    for table in MANIFESTS:
        op.drop_index(f"ix_{table}_unadopted", table)
        op.drop_index(f"ix_{table}_references", table)
        op.drop_column(table, "adopted")
    for table in ("embeddings", "image_claims", "images"):
        op.drop_table(table)
    op.drop_column("datasets", "revision_of")
