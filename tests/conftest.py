"""Fixtures shared by all tests, one module a kind."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator

import pytest

# Each process that the tests start reads what the first has compiled, whatever the machine's default is: to compile
# torch and open_clip anew takes 5 s of CPU.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.disable()  # until all tests are imported

import saft_core.clip  # noqa: E402, F401 (before all that imports open_clip: without torch.compile that takes half as long)
from saft_core.process import freeze_objects  # noqa: E402

pytest_plugins = [
    "tests.fixtures.device",
    "tests.fixtures.models",
    "tests.fixtures.database",
    "tests.fixtures.service",
    "tests.fixtures.tenants",
    "tests.fixtures.queue",
    "tests.fixtures.uploads",
    "tests.fixtures.rest",
    "tests.fixtures.page",
    "tests.fixtures.browser",
    "tests.fixtures.trying",
    "tests.fixtures.client",
    "tests.fixtures.in_process",
    "tests.fixtures.outage",
]
STARTED_ONCE = ("service", "hardy_service", "workers", "own_database")
"""Fixtures that take long to start: of the processes that run the tests, one runs all of a folder that use them."""
LONGEST = ("ui", "flow", "fuzz", "docs", "worker", "saft")
"""Folders whose tests wait, one after another: first, so that no process is left with them at the end."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the garbage collector pass over what is imported and look at the rest seldom: it took a fifth of the CPU."""
    done = yield
    freeze_objects()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, 100)
    gc.enable()
    return done


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares such a fixture; everything else is done by whichever process is free.

    By folder: the tests of the page alone take a process as long as all others take the second one.
    """
    for item in items:
        for name in set(STARTED_ONCE).intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(f"{name} of {_folder(item)}"))
    items.sort(key=lambda item: LONGEST.index(_folder(item)) if _folder(item) in LONGEST else len(LONGEST))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(item.config.rootpath).parts[1]
