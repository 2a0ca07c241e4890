"""What the code imports, package by package, as the graph of import-linter (grimp) has it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
CORE = "saft_core"
Import = tuple[str, str]
"""Who imports, and what is imported."""

API_PROCESS = "saft.wiring"
WORKER_PROCESS = "worker"
"""The modules that a process is put together by: what they import runs in it."""


@dataclass(frozen=True)
class Server:
    """A server, or the disk, outside of the code: whoever imports one of `libraries` speaks to it."""

    name: str
    line: str
    libraries: frozenset[str]


SERVERS = (
    Server("PostgreSQL", "rows, deltas, vectors", frozenset({"pgvector"})),
    Server("files", "pictures, on a disk", frozenset({f"{CORE}.store.blobs", f"{CORE}.store.local_blobs"})),
    Server("Valkey", "the queue, requests a minute", frozenset({"celery", "redis"})),
)


@dataclass(frozen=True)
class Package:
    """A box of the picture. `line` says what it is, in the first sentence of its own docstring."""

    name: str
    line: str
    processes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Imports:
    """All packages, and the imports among them that do not follow from others (the transitive reduction).

    modules: those of saft_core itself, which belong to no package of it.
    exceptions: imports of a package by one of these modules; all others import none.
    """

    packages: Mapping[str, Package]
    arrows: frozenset[Import]
    modules: tuple[str, ...]
    exceptions: frozenset[Import] = field(default_factory=frozenset)


def read() -> Imports:
    """The imports of all packages that the import rules are about."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    graph = grimp.build_graph(*rules["root_packages"], include_external_packages=True, cache_dir=None)
    rooms = sorted(name for name in graph.modules if is_package(name) and box(name) == name)
    modules = sorted(name for name in graph.find_children(CORE) if name not in rooms)
    imports = {
        (box(importer), target)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        for target in targets(imported)
        if box(importer) != target
    }
    drawn = {*rooms, *(server.name for server in SERVERS)}
    return Imports(
        {name: Package(name, first_sentence(name), processes(graph, name)) for name in rooms},
        reduced({one for one in imports if drawn.issuperset(one)}),
        tuple(modules),
        frozenset(one for one in imports if one[0] in modules and one[1] in rooms),
    )


def is_package(name: str) -> bool:
    """Whether the name is a package of this tree, saft_core itself left out: its packages stand for it."""
    return name != CORE and (folder(name) / "__init__.py").is_file()


def folder(name: str) -> Path:
    """Where a package lies. The client is a package of its own."""
    home = ROOT / "client/src" if name.startswith("saft_client") else ROOT
    return home.joinpath(*name.split("."))


def box(module: str) -> str:
    """The box that a module is drawn in: of saft_core its package, else the top folder."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == CORE else 1])


def targets(imported: str) -> Iterable[str]:
    """What an import reaches: a package, a server, or both."""
    return [box(imported), *(server.name for server in SERVERS if imported in server.libraries)]


def first_sentence(name: str) -> str:
    """Of a package's docstring."""
    text = ast.get_docstring(ast.parse((folder(name) / "__init__.py").read_text("utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split()).replace("`", "")
    return paragraph.split(". ")[0].rstrip(".")


def processes(graph: grimp.ImportGraph, package: str) -> frozenset[str]:
    """In which processes a package is loaded."""
    return frozenset(
        process
        for process in (API_PROCESS, WORKER_PROCESS)
        if package in {box(process), *map(box, graph.find_upstream_modules(process, as_package=True))}
    )


def reduced(imports: set[Import]) -> frozenset[Import]:
    """The imports without those that a way over other packages stands for. Raises ValueError for a circle."""
    below: dict[str, set[str]] = {}
    for importer, imported in imports:
        below.setdefault(importer, set()).add(imported)

    def reach(start: str, seen: tuple[str, ...] = ()) -> set[str]:
        if start in seen:
            raise ValueError(f"{' -> '.join([*seen, start])}: packages import each other in a circle")
        return {start}.union(*(reach(one, (*seen, start)) for one in below.get(start, ())))

    reached = {name: reach(name) for name in sorted({name for one in imports for name in one})}
    return frozenset(
        (importer, imported)
        for importer, imported in imports
        if not any(imported in reached[other] for other in below[importer] - {imported})
    )
