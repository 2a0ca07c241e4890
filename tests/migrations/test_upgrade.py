from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.orm import Session

from migrations.upgrade import config, upgrade
from saft_core.quota import Quota
from saft_core.store import quotas, tenants
from saft_core.store.database import with_driver
from saft_core.store.models import Adapter, Model
from saft_core.store.scope import Scope


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database without the schema."""
    name = f"migrations_{uuid4().hex}"
    server = create_engine(with_driver(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = create_engine(with_driver(empty_url))
    yield made
    made.dispose()


def head(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": Model.metadata}
    )
    return list(compare_metadata(context, Model.metadata))


def test_the_steps_give_the_schema_of_the_models(empty_url: str, engine: Engine) -> None:
    with engine.connect() as connection:
        assert differences(connection)  # the comparison sees what is missing
    upgrade(empty_url)
    with engine.connect() as connection:
        assert differences(connection) == []
        assert head(connection) == ScriptDirectory.from_config(config()).get_current_head()
        assert set(inspect(connection).get_table_names()) == {*Model.metadata.tables, "alembic_version"}


def test_what_the_comparison_does_not_see(empty_url: str, engine: Engine) -> None:
    """Conditions of indexes, NULLS NOT DISTINCT and what a deletion takes with it."""
    upgrade(empty_url)
    created = create_engine(with_driver(empty_url), connect_args={"options": "-csearch_path=models,public"})
    definitions = text(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = CAST(:schema AS regnamespace) AND conrelid::regclass::text NOT LIKE '%alembic_version'"
    )
    indexes = text(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = :schema AND indexname NOT LIKE 'alembic%'"
    )
    with created.begin() as connection:
        connection.execute(text("CREATE SCHEMA models"))
        Model.metadata.create_all(connection, checkfirst=False)
        for query in (definitions, indexes):
            found = {
                schema: {(name, definition.replace("models.", "").replace("public.", "")) for name, definition in rows}
                for schema in ("models", "public")
                for rows in [connection.execute(query, {"schema": schema}).all()]
            }
            assert found["public"] == found["models"]
    created.dispose()


def test_a_second_upgrade_changes_nothing_and_keeps_the_rows(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants (id, name, key_sha256) VALUES ('ten_1', 'a', 'b')"))
    upgrade(empty_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tenants")) == 1


def test_processes_that_start_together_all_succeed(empty_url: str, engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty_url] * 4))
    with engine.connect() as connection:
        assert differences(connection) == []


def test_a_schema_of_a_newer_version_is_used_as_it_is_and_said(
    empty_url: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Old and new run side by side in a rolling deploy, and the old one comes back in a rollback."""
    upgrade(empty_url)
    known = ScriptDirectory.from_config(config()).get_current_head()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN of_tomorrow text"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    upgrade(empty_url)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "migrations.upgrade"]
    assert "9999" in line
    assert str(known) in line
    with engine.connect() as connection:
        assert head(connection) == "9999"
        assert "of_tomorrow" in {column["name"] for column in inspect(connection).get_columns("jobs")}


def test_a_url_of_any_spelling_is_taken(empty_url: str) -> None:
    upgrade(empty_url.replace("postgresql://", "postgres://"))


def test_every_step_can_be_taken_back_and_again(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    settings = config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "base")
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
        assert head(connection) is None
    upgrade(empty_url)
    with engine.connect() as connection:
        assert differences(connection) == []


TENANT = text("INSERT INTO tenants (id, name, key_sha256) VALUES ('ten_1', 'a', 'b')")
ADAPTER = text(
    "INSERT INTO adapters (id, tenant_id, name, classes, template, density, nnz, delta_bytes, base, base_fingerprint,"
    " metrics, blocks) VALUES ('ad_1', 'ten_1', 'mine', '[]', 'an icon of {}', 0.1, 1, 1, 'b', 'f', '{}', '[]')"
)
"""As the version before writes it."""


def step(engine: Engine, move: Callable[[Config, str], None], revision: str) -> None:
    settings = config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        move(settings, revision)


def test_an_adapter_keeps_its_template_and_of_several_the_first(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    step(engine, command.downgrade, "0007")
    with engine.begin() as connection:
        connection.execute(TENANT)
        connection.execute(ADAPTER)
    step(engine, command.upgrade, "head")
    with Session(engine) as session, session.begin():
        adapter = session.get_one(Adapter, "ad_1")
        assert adapter.template == "an icon of {}"
        adapter.template = ("a {}", "the {}")
    step(engine, command.downgrade, "0007")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT template FROM adapters")) == "a {}"


OLD_ROWS = (
    TENANT,
    ADAPTER,
    text(
        "INSERT INTO datasets (id, tenant_id, name, classes, rejected, image_count)"
        " VALUES ('ds_1', 'ten_1', 'd', '[]', '[]', 3)"
    ),
    text("INSERT INTO collections (id, tenant_id, name) VALUES ('col_1', 'ten_1', 'c')"),
    text(
        "INSERT INTO collection_images (id, tenant_id, collection_id, filename, sha256, media_type)"
        " VALUES ('img_1', 'ten_1', 'col_1', 'f', 's', 'image/png')"
    ),
    text(
        "INSERT INTO jobs (id, tenant_id, name, config, status, phase, progress, step, steps, losses,"
        " cancel_requested, attempt) VALUES ('job_1', 'ten_1', 'j', '{}', 'queued', 'queued', 0, 0, 0, '[]', false, 0)"
    ),
)
"""As the version before tenants had several keys writes them."""


def test_the_key_of_a_tenant_works_after_the_step_and_before_it_again(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    step(engine, command.downgrade, "0008")
    key = tenants.new_key()
    with engine.begin() as connection:
        for row in OLD_ROWS:
            connection.execute(row)
        connection.execute(text("UPDATE tenants SET key_sha256 = :hash"), {"hash": tenants.hashed(key)})
    step(engine, command.upgrade, "head")
    with Session(engine) as session, session.begin():
        holder = tenants.authenticate(session, key)
        scope = Scope(session, "ten_1")
        assert holder.tenant_id == "ten_1"
        assert [(row.id, row.name) for row in tenants.keys(scope, 9, None).items] == [(holder.key_id, "first")]
        assert quotas.quota(scope) == Quota()
        assert quotas.usage(scope) == quotas.Usage(images=4, storage_bytes=1, adapters=2, queued_jobs=1)
        new = tenants.create(session, "new", tenants.new_key())
        new_hash = new.key_sha256
    step(engine, command.downgrade, "0008")
    with engine.connect() as connection:
        kept = set(connection.scalars(text("SELECT key_sha256 FROM tenants")))
        assert kept == {tenants.hashed(key), new_hash}


def test_the_version_before_goes_on_with_the_new_schema(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    key = tenants.new_key()
    with engine.begin() as connection:
        for row in OLD_ROWS:
            connection.execute(row)
        connection.execute(text("UPDATE tenants SET key_sha256 = :hash"), {"hash": tenants.hashed(key)})
    with Session(engine) as session, session.begin():
        assert tenants.authenticate(session, key).tenant_id == "ten_1"
        assert quotas.usage(Scope(session, "ten_1")).images == 4
