from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from saft_core.settings import Limits, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")


def test_every_setting_and_limit_is_documented_with_its_default_and_meaning() -> None:
    settings = {
        str(field.validation_alias or f"SAFT_{name.upper()}"): field
        for name, field in Settings.model_fields.items()
        if name != "limits"
    }
    limits = {f"SAFT_{name.upper()}": field for name, field in Limits.model_fields.items()}
    defaults = {None: "unset", "": "empty"}
    for name, field in (settings | limits).items():
        default = defaults.get(field.default, f"`{field.default}`")
        assert f"| `{name}` | {default} | {field.description} |" in PAGE


def test_the_page_names_no_variable_that_does_not_exist() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields) - 1 + len(Limits.model_fields)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFT_PORT", "9000")
    monkeypatch.setenv("SAFT_MAX_EPOCHS", "7")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@db/saft")
    settings = Settings()
    assert settings.port == 9000
    assert settings.limits.max_epochs == 7
    assert settings.database_url == "postgresql+psycopg://user:secret@db/saft"


def test_another_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///saft.db")
    with pytest.raises(ValidationError, match="postgresql://"):
        Settings()


def test_the_admin_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFT_ADMIN_KEY", "top-secret-value")
    assert "top-secret-value" not in repr(Settings())
