"""Alembic's entry: run on the connection that `upgrade` hands over."""

from alembic import context

from saft_core.store.models import Model

context.configure(connection=context.config.attributes["connection"], target_metadata=Model.metadata)
with context.begin_transaction():
    context.run_migrations()
