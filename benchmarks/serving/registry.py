"""A service with many adapters: the embedded servers, the schema, one tenant and its rows.

A container is half a megabyte, and ten thousand different ones would take longer to make than everything else here. So
DIFFERENT are made, and the database copies them to as many adapters as wanted, each a full row of its own; nothing that
serves can tell. The containers' table is unlogged and tries no compression while it is filled (they do not compress):
both make writing faster and reading no different.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import save_file
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.models import EMBEDDED, TEMPLATE, labels, make_base
from benchmarks.serving.deltas import CLASSES, DENSITY, container
from migrations.upgrade import upgrade
from saft import embedded
from saft_core.clip.backbone import Base
from saft_core.settings import Settings
from saft_core.store import adapters, tenants
from saft_core.store.database import create_sessions
from saft_core.store.models import Adapter
from saft_core.store.scope import Scope
from worker.class_embeddings import class_embeddings

DIFFERENT = 16
_ADAPTER = """
INSERT INTO adapters (id, tenant_id, name, classes, template, density, nnz, delta_bytes, base, base_fingerprint,
                      metrics, blocks)
SELECT 'ad_copy' || n, tenant_id, 'copy-' || n, classes, template, density, nnz, delta_bytes, base, base_fingerprint,
       metrics, blocks
FROM generate_series(:different, :count - 1) AS n JOIN adapters ON adapters.family = 'adapter-' || n % :different
"""
_CONTAINER = """
INSERT INTO adapter_deltas (adapter_id, tenant_id, delta, class_embeddings)
SELECT 'ad_copy' || n, adapter_deltas.tenant_id, delta, class_embeddings
FROM generate_series(:different, :count - 1) AS n JOIN adapters ON adapters.family = 'adapter-' || n % :different
JOIN adapter_deltas ON adapter_deltas.adapter_id = adapters.id
"""


@dataclass(frozen=True)
class Registry:
    """Where everything is. `adapter_ids` are all of one tenant, who holds `key`."""

    settings: Settings
    sessions: sessionmaker[Session]
    key: str
    adapter_ids: list[str]
    container_bytes: int
    base: Base


@contextmanager
def registry(model: str, device: str, count: int) -> Iterator[Registry]:
    """Servers of their own in a temporary folder, with `count` adapters of `model` in the database."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_base(model, device)
        spec = _spec(base, model, folder)
        with embedded.servers(folder, (None, None)) as urls:
            upgrade(urls.database_url)
            settings = Settings(
                data_dir=folder, base=spec, device=device, database_url=urls.database_url, redis_url=urls.redis_url
            )  # fmt: skip
            sessions = create_sessions(urls.database_url)
            try:
                yield _filled(settings, sessions, base, count)
            finally:
                sessions.kw["bind"].dispose()


def _spec(base: Base, model: str, folder: Path) -> str:
    """What SAFT_BASE must say for the very same base."""
    if model == EMBEDDED:
        return ""
    checkpoint = folder / "base.safetensors"
    save_file({name: tensor.clone() for name, tensor in base.model.state_dict().items()}, checkpoint)
    return f"{model}/{checkpoint}"


def neighbour_of(registry: Registry, count: int) -> Registry:
    """Another tenant of the same service, with `count` of the same adapters, DIFFERENT at most."""
    key = tenants.new_key()
    with registry.sessions.begin() as session:
        scope = Scope(session, tenants.create(session, "neighbour", key).id)
        made = [_add(scope, registry.base, number) for number in range(min(count, DIFFERENT))]
    return replace(registry, key=key, adapter_ids=[adapter.id for adapter in made])


def _filled(settings: Settings, sessions: sessionmaker[Session], base: Base, count: int) -> Registry:
    key = tenants.new_key()
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE adapter_deltas SET UNLOGGED"))
        session.execute(text("ALTER TABLE adapter_deltas ALTER COLUMN delta SET STORAGE EXTERNAL"))
    with sessions.begin() as session:
        scope = Scope(session, tenants.create(session, "benchmark", key).id)
        made = [_add(scope, base, number) for number in range(min(count, DIFFERENT))]
        numbers = {"different": DIFFERENT, "count": count}
        session.execute(text(_ADAPTER), numbers)
        session.execute(text(_CONTAINER), numbers)
    ids = [adapter.id for adapter in made] + [f"ad_copy{number}" for number in range(DIFFERENT, count)]
    return Registry(settings, sessions, key, ids, made[0].delta_bytes, base)


def _add(scope: Scope, base: Base, number: int) -> Adapter:
    content = container(base, number)
    row = Adapter(
        name=f"adapter-{number}", classes=list(labels(CLASSES)), template=TEMPLATE, density=DENSITY,
        nnz=round(base.parameter_count * DENSITY), delta_bytes=len(content), base=base.name,
        base_fingerprint=base.fingerprint, metrics={}, blocks=[],
    )  # fmt: skip
    added = adapters.add(scope, row, content, class_embeddings=class_embeddings(base, content, 1.0))
    adapters.publish(scope, added)  # by its name alone the copies find it
    return added
