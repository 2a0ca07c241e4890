"""GET /base: the CLIP that every adapter of this service fine-tunes."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from api.authenticated import TenantRoute
from api.deps import TenancyDep
from api.schemas.base import BaseView

router = APIRouter(tags=["inference"], route_class=TenantRoute)


@router.get("/base", response_model=BaseView)
async def get_base(tenancy: TenancyDep) -> object:
    """Which base this service runs, what it suits, and what a training uses where nothing is said."""
    base = tenancy.services.engine.base
    return {
        "name": base.name,
        "fingerprint": base.fingerprint,
        "parameters": base.parameter_count,
        "image_size": base.image_side,
        "training_defaults": asdict(base.defaults),
        **asdict(base.card),
    }
