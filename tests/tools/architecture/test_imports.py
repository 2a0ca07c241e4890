"""What is read from the code: packages, the imports among them, and the processes they run in."""

from __future__ import annotations

import pytest

from tools.architecture.imports import API_PROCESS, WORKER_PROCESS, Imports, read, reduced


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read()


def test_each_package_says_what_it_is_in_its_own_words(imports: Imports) -> None:
    assert imports.packages["worker"].line == "The Celery worker that trains"
    assert all(package.line for package in imports.packages.values())


def test_arrows_are_imports_that_no_way_over_others_stands_for(imports: Imports) -> None:
    assert ("saft_core.tuning", "saft_core.sparse") in imports.arrows
    assert ("saft_core.tuning", "saft_core.clip") not in imports.arrows  # sparse imports it


def test_who_imports_a_servers_library_speaks_to_the_server(imports: Imports) -> None:
    reached = {server: {one for one, other in imports.arrows if other == server} for server in ("PostgreSQL", "Valkey")}
    assert reached == {"PostgreSQL": {"saft_core.store"}, "Valkey": {"saft_core.store"}}
    assert ("saft_core.store", "files") in imports.arrows


def test_a_package_runs_in_the_processes_that_import_it(imports: Imports) -> None:
    processes = {name: package.processes for name, package in imports.packages.items()}
    assert processes["saft_core.serving"] == {API_PROCESS}
    assert processes["saft_core.tuning"] == {WORKER_PROCESS}
    assert processes["saft_core.store"] == {API_PROCESS, WORKER_PROCESS}
    assert processes["evaluation"] == frozenset()


def test_the_reduction_keeps_what_can_be_reached_and_nothing_twice() -> None:
    chain = {("a", "b"), ("b", "c"), ("c", "d")}
    assert reduced(chain | {("a", "c"), ("a", "d"), ("b", "d")}) == chain
    assert reduced({("a", "b"), ("a", "c")}) == {("a", "b"), ("a", "c")}


def test_packages_that_import_each_other_are_an_error() -> None:
    with pytest.raises(ValueError, match="a -> b -> a: packages import each other"):
        reduced({("a", "b"), ("b", "a")})
