from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Connection, Engine, MetaData, create_engine, inspect, make_url, select, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import Session

from migrations.upgrade import config, upgrade
from saft_core.quota import Quota
from saft_core.store import adapters, quotas, tenants
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


# --- a service of the version before on the new schema ---------------------------------------------------------------

BEFORE = "0008"
"""The schema of the release before this one: a database of it is what an upgrade meets."""


def rows_as_before(connection: Connection) -> dict[str, list[list[Any]]]:
    """Every row of every table, of the columns that the version before knows."""
    tables = BEFORE_TABLES.sorted_tables
    return {table.name: [list(map(str, row)) for row in connection.execute(table.select())] for table in tables}


BEFORE_TABLES = MetaData()


@pytest.fixture
def filled(empty_url: str, engine: Engine) -> Iterator[None]:
    """A database of the version before, with a row in each of its tables."""
    upgrade(empty_url)
    step(engine, command.downgrade, BEFORE)
    BEFORE_TABLES.clear()
    BEFORE_TABLES.reflect(engine)
    BEFORE_TABLES.remove(BEFORE_TABLES.tables["alembic_version"])
    with engine.begin() as connection:
        fill(connection, "one")
    yield
    BEFORE_TABLES.clear()


def fill(connection: Connection, key: str) -> None:
    """Write a row into each table, as the version before would; `key` tells it from others."""
    made: dict[str, Any] = {}
    for table in BEFORE_TABLES.sorted_tables:
        values = {}
        for column in table.columns:
            if column.server_default is None and column.autoincrement is not True:
                reference = next(iter(column.foreign_keys), None)
                value = (
                    made[reference.target_fullname] if reference else made_up(column, f"{key} {table}.{column.name}")
                )
                values[column.name] = made[f"{table}.{column.name}"] = value
        connection.execute(table.insert().values(values))


def made_up(column: Column[Any], text_: str) -> Any:
    """A value of the column's type."""
    kinds: dict[type[Any], Any] = {bool: False, int: 3, float: 0.5, bytes: b"bytes", str: text_}
    if isinstance(column.type, JSONB):
        return [{"of": text_}]
    if isinstance(column.type, VECTOR):
        return [0.6, 0.8]
    if isinstance(column.type, TIMESTAMP):
        return datetime(2026, 1, 2, tzinfo=UTC)
    return kinds[column.type.python_type]


def test_an_upgrade_loses_nothing(empty_url: str, engine: Engine, filled: None) -> None:
    with engine.connect() as connection:
        before = rows_as_before(connection)
    assert len(before) >= 11
    assert all(len(rows) == 1 for rows in before.values()), before
    upgrade(empty_url)
    with engine.connect() as connection:
        assert rows_as_before(connection) == before


def test_the_version_before_reads_and_writes_the_new_schema(empty_url: str, engine: Engine, filled: None) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        fill(connection, "two")
        assert all(len(rows) == 2 for rows in rows_as_before(connection).values())


def test_adapters_of_the_version_before_are_the_first_of_their_names(
    empty_url: str, engine: Engine, filled: None
) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        fill(connection, "two")
    with Session(engine, expire_on_commit=False) as session, session.begin():
        rows = session.scalars(select(Adapter).order_by(Adapter.name)).all()
        assert [(row.name, row.version, row.published) for row in rows] == [
            ("one adapters.name", 1, True),
            ("two adapters.name", 1, True),
        ]
        scope = Scope(session, rows[0].tenant_id)
        following = Adapter(name=rows[0].name, classes=[], template="a {}", density=0.1, nnz=1, delta_bytes=1, base="b",
                            base_fingerprint="f", metrics={}, blocks=[])  # fmt: skip
        adapters.publish(scope, adapters.add(scope, following, b"delta"))
        assert (following.version, rows[0].called) == (2, "one adapters.name@1")
    with engine.connect() as connection:  # what the version before looks a name up by
        table = BEFORE_TABLES.tables["adapters"]
        found = connection.execute(table.select().where(table.c.name == "one adapters.name")).one()
        assert found.id == following.id


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
    step(engine, command.downgrade, "0010")
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
    step(engine, command.downgrade, "0010")
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
