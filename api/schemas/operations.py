"""GET /healthz and GET /readyz."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):  # noqa: D101
    status: Literal["ok"]


class Readiness(BaseModel):  # noqa: D101
    status: Literal["ok"]
    base: str
    broker: Literal["ok", "away"] = Field(description="Away: jobs are taken and wait; all else is answered.")
