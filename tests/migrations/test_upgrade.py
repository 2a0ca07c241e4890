from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
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

from migrations.delta_version_2 import rewritten
from migrations.upgrade import config, upgrade
from saft_core.quota import Quota
from saft_core.store import adapters, adoption, deltas, images, quotas, tenants
from saft_core.store.blobs import BlobStore
from saft_core.store.database import create_sessions, with_driver
from saft_core.store.local_blobs import LocalBlobStore
from saft_core.store.models import Adapter, CollectionImage, DatasetImage, Embedding, Model
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

BEFORE = "0011"
"""The schema of the release before this one: a database of it is what an upgrade meets."""


def rows_as_before(connection: Connection) -> dict[str, list[list[Any]]]:
    """Every row of every table, of the columns that the version before knows."""
    tables = BEFORE_TABLES.sorted_tables
    return {table.name: [list(map(str, row)) for row in connection.execute(table.select())] for table in tables}


BEFORE_TABLES = MetaData()


@pytest.fixture
def filled(empty_url: str, engine: Engine, request: pytest.FixtureRequest) -> Iterator[None]:
    """A database of the version before, or one of a test's own choice, with a row in each of its tables."""
    upgrade(empty_url)
    step(engine, command.downgrade, getattr(request, "param", BEFORE))
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


@pytest.mark.parametrize("filled", ["0008"], indirect=True)
def test_adapters_of_versions_without_versions_are_the_first_of_their_names(
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
        assert quotas.usage(scope) == quotas.Usage(images=1, storage_bytes=1, adapters=2, queued_jobs=1)
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
        assert quotas.usage(Scope(session, "ten_1")) == quotas.Usage(
            images=0, storage_bytes=1, adapters=2, queued_jobs=1
        )  # images count once they are adopted


# --- deltas of the version before ------------------------------------------------------------------------------------

OLD_DELTA = Path(__file__).with_name("version_2.saft").read_bytes()


def add_before(connection: Connection, adapter_id: str, container: bytes) -> None:
    """An adapter as the version before writes it."""
    connection.execute(text(str(ADAPTER).replace("ad_1", adapter_id).replace("'mine'", f"'{adapter_id}'")))
    row = text("INSERT INTO adapter_deltas (adapter_id, tenant_id, container) VALUES (:id, 'ten_1', :container)")
    connection.execute(row, {"id": adapter_id, "container": container})


def stored_deltas(connection: Connection) -> dict[str, tuple[bytes, bytes | None, int]]:
    """By adapter: what the version before reads, what this one does, and the size that both state."""
    rows = connection.execute(
        text("SELECT id, container, delta, delta_bytes FROM adapter_deltas JOIN adapters ON id = adapter_id")
    )
    return {adapter_id: tuple(columns) for adapter_id, *columns in rows}


def test_deltas_are_rewritten_and_stay_for_the_version_before(
    empty_url: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(empty_url)
    step(engine, command.downgrade, "0013")
    with engine.begin() as connection:
        connection.execute(TENANT)
        add_before(connection, "ad_1", OLD_DELTA)
        add_before(connection, "ad_2", b"no delta")
    upgrade(empty_url)
    new = rewritten(OLD_DELTA)
    with engine.connect() as connection:
        assert stored_deltas(connection) == {
            "ad_1": (OLD_DELTA, new, len(new)),
            "ad_2": (b"no delta", None, 1),
        }
    assert "ad_2" in caplog.text
    assert deltas.load(create_sessions(empty_url), "ad_1") == (new, None)


def test_deltas_that_the_version_before_writes_on_the_new_schema_are_rewritten_at_the_next_start(
    empty_url: str, engine: Engine
) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        connection.execute(TENANT)
        add_before(connection, "ad_1", OLD_DELTA)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty_url] * 4))
    with engine.connect() as connection:
        assert stored_deltas(connection)["ad_1"][1] == rewritten(OLD_DELTA)


def test_the_version_before_finds_no_delta_in_what_this_one_writes(empty_url: str, engine: Engine) -> None:
    """It takes nothing of under 60 bytes or of another beginning than SAFTDLT2 for a delta."""
    upgrade(empty_url)
    with Session(engine) as session, session.begin():
        session.execute(TENANT)
        made = Adapter(name="mine", classes=[], template="a {}", density=0.1, nnz=1, delta_bytes=3, base="b",
                       base_fingerprint="f", metrics={}, blocks=[])  # fmt: skip
        adapter_id = adapters.add(Scope(session, "ten_1"), made, b"new").id
    with engine.connect() as connection:
        before, now, size = stored_deltas(connection)[adapter_id]
    assert (now, size) == (b"new", 3)
    assert len(before) >= 60
    assert before.startswith(b"a delta of version 3")


# --- images of the version before ------------------------------------------------------------------------------------

TENANT_ID, OTHER_ID, DATASET_ID, COLLECTION_ID, SECOND_ID, ADAPTER_ID = (
    f"{kind}_{number:032x}" for number, kind in enumerate(("ten", "ten", "ds", "col", "col", "ad"))
)
FILES = {hashlib.sha256(data).hexdigest(): data for data in (b"first", b"second", b"third")}
FIRST, SECOND, THIRD = FILES


def write_as_before(connection: Connection, blobs: Path, number: int = 0) -> None:
    """Rows and files of the version before: a dataset and two collections with an image in common, and embeddings.

    number: tells what it writes from what it wrote before.
    """
    dataset_id, collection_id, second_id = (
        f"{given[:-1]}{int(given[-1]) + 8 * number:x}" for given in (DATASET_ID, COLLECTION_ID, SECOND_ID)
    )
    insert = "INSERT INTO {} VALUES {}".format
    columns = "datasets (id, tenant_id, name, classes, rejected, image_count, size_bytes)"
    connection.execute(text(insert(columns, f"('{dataset_id}', '{TENANT_ID}', 'd', '[]', '[]', 2, 11)")))
    collections = f"('{collection_id}', '{TENANT_ID}', 'c'), ('{second_id}', '{TENANT_ID}', 'c')"
    connection.execute(text(insert("collections (id, tenant_id, name)", collections)))
    for position, sha256 in enumerate((FIRST, SECOND)):
        row = f"('{dataset_id}', '{TENANT_ID}', {position}, 'cat', 'p', '{sha256}', 'image/png')"
        columns = "dataset_images (dataset_id, tenant_id, position, label, path, sha256, media_type)"
        connection.execute(text(insert(columns, row)))
        write_blob(blobs, dataset_id, sha256)
    for place, (collection, sha256) in enumerate(((collection_id, FIRST), (collection_id, THIRD), (second_id, FIRST))):
        image = f"img_{number}_{place}"
        row = f"('{image}', '{TENANT_ID}', '{collection}', 'f', '{sha256}', 'image/png')"
        columns = "collection_images (id, tenant_id, collection_id, filename, sha256, media_type)"
        connection.execute(text(insert(columns, row)))
        write_blob(blobs, collection, sha256)
        for adapter in ("NULL", f"'{ADAPTER_ID}'"):
            row = f"('{image}', '{TENANT_ID}', 'f', {adapter}, 1, '[0.6,{place}]')"
            columns = "image_embeddings (image_id, tenant_id, base_fingerprint, adapter_id, strength, embedding)"
            connection.execute(text(insert(columns, row)))


def write_blob(blobs: Path, owner_id: str, sha256: str) -> None:
    path = blobs / owner_id / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FILES[sha256])


@pytest.fixture
def with_images(empty_url: str, engine: Engine, tmp_path: Path) -> None:
    """A database and a folder of the version before, with images in them; and the upgrade."""
    upgrade(empty_url)
    step(engine, command.downgrade, BEFORE)
    with engine.begin() as connection:
        for tenant_id in (TENANT_ID, OTHER_ID):
            connection.execute(
                text(f"INSERT INTO tenants (id, name, key_sha256) VALUES ('{tenant_id}', 'a', '{tenant_id}')")
            )
        connection.execute(text(str(ADAPTER).replace("ad_1", ADAPTER_ID).replace("ten_1", TENANT_ID)))
        write_as_before(connection, tmp_path)
    upgrade(empty_url)


def files_by_row(session: Session, blobs: BlobStore) -> list[tuple[str, bytes]]:
    """What the rows of datasets and collections give, by what they are in."""
    rows = [*session.scalars(select(DatasetImage)), *session.scalars(select(CollectionImage))]
    return sorted((row.file.before, blobs.get(row.file)) for row in rows)


def test_images_are_there_before_and_after_they_are_adopted(
    empty_url: str, engine: Engine, with_images: None, tmp_path: Path
) -> None:
    blobs, sessions = LocalBlobStore(tmp_path), create_sessions(empty_url)
    expected = sorted(
        [(DATASET_ID, b"first"), (DATASET_ID, b"second"), (COLLECTION_ID, b"first"), (COLLECTION_ID, b"third"),
         (SECOND_ID, b"first")]
    )  # fmt: skip
    with sessions() as session:
        assert files_by_row(session, blobs) == expected
        assert quotas.usage(Scope(session, TENANT_ID)).images == 3  # each once
        embedded = session.execute(select(Embedding.sha256, Embedding.adapter_id, Embedding.embedding)).all()
    assert sorted((sha256, adapter or "", vector[1]) for sha256, adapter, vector in embedded) == sorted(
        (sha256, adapter, place) for sha256, place in ((FIRST, 0), (THIRD, 1)) for adapter in ("", ADAPTER_ID)
    )
    adoption.sweep(sessions, blobs)
    with sessions() as session:
        assert files_by_row(session, blobs) == expected
        assert quotas.usage(Scope(session, TENANT_ID)) == quotas.Usage(3, 5 + 6 + 5 + 1, 1, 0)
    for owner_id, sha256 in ((DATASET_ID, SECOND), (COLLECTION_ID, THIRD), (SECOND_ID, FIRST)):
        assert (tmp_path / owner_id / sha256).read_bytes() == FILES[sha256]  # where the version before looks
        assert blobs.has(TENANT_ID, sha256)
    for folder in (DATASET_ID, COLLECTION_ID, SECOND_ID):
        shutil.rmtree(tmp_path / folder)
    with sessions() as session:
        assert files_by_row(session, blobs) == expected


def test_what_the_version_before_writes_on_the_new_schema_is_adopted_too(
    empty_url: str, engine: Engine, with_images: None, tmp_path: Path
) -> None:
    blobs, sessions = LocalBlobStore(tmp_path), create_sessions(empty_url)
    with engine.begin() as connection:
        write_as_before(connection, tmp_path, number=1)
        connection.execute(text(f"DELETE FROM images WHERE sha256 = '{THIRD}'"))  # one that is in it alone
    adoption.sweep(sessions, blobs)
    with sessions() as session:
        assert len(files_by_row(session, blobs)) == 10
        assert quotas.usage(Scope(session, TENANT_ID)).images == 3
        assert not session.scalar(select(DatasetImage).where(~DatasetImage.adopted).limit(1))


def test_what_the_version_before_deletes_leaves_nothing(
    empty_url: str, engine: Engine, with_images: None, tmp_path: Path
) -> None:
    blobs, sessions = LocalBlobStore(tmp_path), create_sessions(empty_url)
    adoption.sweep(sessions, blobs)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM datasets WHERE id = '{DATASET_ID}'"))
    shutil.rmtree(tmp_path / DATASET_ID)
    images.Orphans().sweep(sessions, blobs)
    assert [blobs.has(TENANT_ID, sha256) for sha256 in FILES] == [True, False, True]
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM tenants WHERE id = '{TENANT_ID}'"))
        assert connection.scalar(text("SELECT count(*) FROM images")) == 0


def test_the_version_before_clears_no_folder_of_ours(tmp_path: Path) -> None:
    """Of what looks like a folder of a dataset and has no row it thinks that an upload left it."""
    LocalBlobStore(tmp_path).put(TENANT_ID, FIRST, b"first")
    assert not [path for path in tmp_path.iterdir() if re.fullmatch(r"[a-z]{2,4}_[0-9a-f]{32}", path.name)]
