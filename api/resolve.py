"""Resolves the name of an adapter in a request (id, name, name@version or "base") to the version that answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.checks import BASE_NAME
from api.deps import Tenancy
from api.services import Services
from api.unknown import UnknownDetector
from saft_core.calibration import UNCALIBRATED, Calibration
from saft_core.errors import BaseMismatch
from saft_core.store import adapters
from saft_core.store.models import Adapter
from saft_core.templates import Template


@dataclass(frozen=True)
class Model:
    """What the engine answers with: one version of an adapter, or the base (adapter_id None).

    strength: the adapter's own, 0 to 1. calibration: of its own classes, template and strength.
    """

    adapter_id: str | None
    classes: tuple[str, ...]
    template: Template
    strength: float = 1.0
    calibration: Calibration = UNCALIBRATED

    @property
    def shown_as(self) -> str:
        """How answers name it: the adapter's id, or "base"."""
        return self.adapter_id or BASE_NAME

    def strength_for(self, asked: float | None) -> float:
        """The strength of a request: the one it asks for, or else the model's own."""
        return self.strength if asked is None else asked

    def calibration_for(
        self, labels: tuple[str, ...], template: Template, strength: float, detector: UnknownDetector
    ) -> Calibration:
        """The model's own, for its own classes (in any order), template and strength; or else one for these labels.

        Raises what the engine raises, such as InvalidInput for labels that the base cannot read.
        """
        as_measured = (template, strength) == (self.template, self.strength) and set(labels) == set(self.classes)
        own = self.calibration if as_measured else UNCALIBRATED
        return own if own.unknown else replace(own, unknown=detector.unknown(labels, template))


def resolve(tenancy: Tenancy, name: str) -> Model:
    """The model that `name` means: "base", or an adapter's id, name or name@version.

    The row is read on every request, so a deleted adapter is gone on every replica at once.
    Raises NotFound and BaseMismatch.
    """
    services = tenancy.services
    if name == BASE_NAME:
        return Model(None, (), services.engine.base.defaults.template)
    with tenancy.reading() as scope:
        return model_of(adapters.find(scope, name, report=False), services)


def model_of(adapter: Adapter, services: Services) -> Model:
    """The model of an adapter's row. Raises BaseMismatch where it was made for another base."""
    check_base(adapter.base_fingerprint, adapter.base, services)
    calibration = Calibration.of_metrics(adapter.calibration)
    return Model(adapter.id, tuple(adapter.classes), adapter.template, adapter.strength, calibration)


def check_base(fingerprint_of_base: str, name: str, services: Services) -> None:
    """Raise BaseMismatch when a delta was made for another base than the one that serves."""
    base = services.engine.base
    if fingerprint_of_base != base.fingerprint:
        raise BaseMismatch(
            f"the delta was made for base {name} ({fingerprint_of_base[:12]}), this service runs {base.name}"
            f" ({base.fingerprint[:12]}); set SAFT_BASE to the former, or fine-tune again"
        )
