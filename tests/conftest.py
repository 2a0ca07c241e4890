"""Fixtures shared by all tests, one module a kind."""

pytest_plugins = ["tests.fixtures.models"]
