"""Indexes that serve the lists in their order, and the jobs of a dataset that is deleted."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LISTED = {
    "datasets": "tenant_id",
    "jobs": "tenant_id",
    "adapters": "tenant_id",
    "collections": "tenant_id",
    "collection_images": "collection_id",
}
REFERENCES = ("dataset_id", "test_dataset_id")


def upgrade() -> None:
    for table, owner in LISTED.items():
        op.create_index(f"ix_{table}_listed", table, [owner, "created_at", "id"])
    for column in REFERENCES:
        op.create_index(f"ix_jobs_{column}", "jobs", [column])
    op.drop_index("ix_collection_images_collection_id", "collection_images")  # two others begin with this column


def downgrade() -> None:
    op.create_index("ix_collection_images_collection_id", "collection_images", ["collection_id"])
    for column in REFERENCES:
        op.drop_index(f"ix_jobs_{column}", "jobs")
    for table in LISTED:
        op.drop_index(f"ix_{table}_listed", table)
