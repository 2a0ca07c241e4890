"""Fixtures shared by all tests, one module a kind."""

pytest_plugins = [
    "tests.fixtures.models",
    "tests.fixtures.database",
    "tests.fixtures.service",
    "tests.fixtures.tenants",
    "tests.fixtures.rest",
    "tests.fixtures.page",
    "tests.fixtures.in_process",
]
