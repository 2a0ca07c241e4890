"""The column of deltas in version 3 of their container (docs/delta-format.md).

`upgrade` fills it after the steps (migrations/delta_version_2.py), row by row and not in here: the old service would
wait for the table until the last row. It goes on with `container`, which holds version 2. Of an adapter that the new
service has made it finds a text there that it refuses, as any file that is no delta.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OF_A_LATER_VERSION = sa.text("'a delta of version 3, which only a later release of the service reads'::bytea")


def upgrade() -> None:
    op.add_column("adapter_deltas", sa.Column("delta", sa.LargeBinary(), nullable=True))
    op.alter_column("adapter_deltas", "container", server_default=OF_A_LATER_VERSION)


def downgrade() -> None:
    op.alter_column("adapter_deltas", "container", server_default=None)
    op.drop_column("adapter_deltas", "delta")
