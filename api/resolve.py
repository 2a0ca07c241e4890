"""From what a request calls a model to what the engine answers with."""

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
    """The base (`adapter_id` None) or one of the tenant's adapters."""

    adapter_id: str | None
    classes: tuple[str, ...]
    template: Template
    strength: float = 1.0
    """Its own."""
    calibration: Calibration = UNCALIBRATED
    """Of its own classes, template and strength."""

    @property
    def shown_as(self) -> str:
        """How an answer names it."""
        return self.adapter_id or BASE_NAME

    def strength_for(self, asked: float | None) -> float:
        """What a request is answered with: its own wish, or else the model's strength."""
        return self.strength if asked is None else asked

    def calibration_for(
        self, labels: tuple[str, ...], template: Template, strength: float, strangers: UnknownDetector
    ) -> Calibration:
        """The model's, where it is asked as it was measured, in any order; or else what `strangers` say of the labels.

        Raises what the engine raises, such as InvalidInput for labels that the base cannot read.
        """
        as_measured = (template, strength) == (self.template, self.strength) and set(labels) == set(self.classes)
        own = self.calibration if as_measured else UNCALIBRATED
        return own if own.unknown else replace(own, unknown=strangers.unknown(labels, template))


def resolve(tenancy: Tenancy, name: str) -> Model:
    """The model that `name` means: "base", or an adapter's id or name.

    The row is read on every request, so a deleted adapter is gone on every replica at once.
    Raises NotFound and BaseMismatch.
    """
    services = tenancy.services
    if name == BASE_NAME:
        return Model(None, (), services.engine.base.defaults.template)
    with tenancy.reading() as scope:
        return model_of(adapters.find(scope, name, report=False), services)


def model_of(adapter: Adapter, services: Services) -> Model:
    """The model that an adapter is on the base of this service. Raises BaseMismatch."""
    check_base(adapter.base_fingerprint, adapter.base, services)
    calibration = Calibration.of_metrics(adapter.calibration)
    return Model(adapter.id, tuple(adapter.classes), adapter.template, adapter.strength, calibration)


def check_base(fingerprint_of_base: str, name: str, services: Services) -> None:
    """Raises BaseMismatch when a delta was made for another base than the one that serves."""
    base = services.engine.base
    if fingerprint_of_base != base.fingerprint:
        raise BaseMismatch(
            f"the delta was made for base {name} ({fingerprint_of_base[:12]}), this service runs {base.name}"
            f" ({base.fingerprint[:12]}); set SAFT_BASE to the former, or fine-tune again"
        )
