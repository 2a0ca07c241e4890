"""POST /example: the shipped photographs as datasets of the tenant, and an adapter on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.authenticated import TenantRoute
from api.deps import Tenancy, TenancyDep
from api.disk import check_free_space
from api.forms import in_turn
from api.idempotency import IdempotencyDep, TenantIdempotency, created
from api.routes.datasets import labelled_set, test_name, write_dataset
from api.routes.imports import adapter_row, read_container
from api.routes.training import job_of, queued, send
from api.schemas.datasets import ExampleView
from api.schemas.training import TrainingBody
from api.services import Services
from api.uploads import create_from_files
from saft_core.data.archive import read_archive
from saft_core.data.intake import Save
from saft_core.data.labelled import LabelledSet
from saft_core.errors import Conflict
from saft_core.example import ADAPTER_NAME, DATASET_NAME, PHOTOGRAPHS, load_example
from saft_core.store import adapters, examples, quotas
from saft_core.store.examples import Pair
from saft_core.store.idempotency import StoredAnswer
from saft_core.store.images import Upload
from saft_core.store.models import AdapterMistake
from saft_core.store.scope import Scope

router = APIRouter(tags=["datasets"], route_class=TenantRoute)

ALSO: dict[int | str, dict[str, Any]] = {
    200: {"model": ExampleView, "description": "It is there already."},
    202: {"model": ExampleView, "description": "A training was started."},
}


@router.post("/example", status_code=201, response_model=ExampleView, responses=ALSO)
async def make_example(tenancy: TenancyDep, idempotency: IdempotencyDep) -> JSONResponse:
    """Have the sample photographs as datasets to train and to test on, and a finished adapter on them to try.

    On another base than the one that the adapter was made for a training is started instead. What is there already is
    answered and not made again; what was deleted since is made anew.
    """
    services = tenancy.services
    with services.uploads.acquired(tenancy.tenant_id):
        check_free_space(services.settings)
        return await in_turn(services, tenancy.tenant_id, _make, tenancy, idempotency)


def _make(tenancy: Tenancy, idempotency: TenantIdempotency) -> JSONResponse:
    making = _Making(tenancy)
    answer = create_from_files(tenancy, idempotency, b"", quotas.admit, making.take, making.write)
    for job_id in making.ordered:
        send(tenancy.services, job_id)
    return answer


@dataclass
class _Making:
    """One request for the example. ordered: the job that it wrote."""

    tenancy: Tenancy
    ordered: list[str] = field(default_factory=list)

    def take(self, save: Save) -> LabelledSet | None:
        """The photographs, as of an upload of the zip; None where the tenant has the datasets. Raises Conflict."""
        services = self.tenancy.services
        with self.tenancy.begin() as scope:
            if _pair(scope, services) is not None:
                return None
        with PHOTOGRAPHS.open("rb") as file:
            found = labelled_set(self.tenancy, read_archive(file, services.data_limits), save)
        if found.rejected or found.test is None:
            why = f": {found.rejected[0].reason}" if found.rejected else ""
            raise Conflict(f"the limits of this service leave some of the sample photographs out{why}")
        return found

    def write(self, scope: Scope, upload: Upload, found: LabelledSet | None) -> StoredAnswer:
        """Write what is missing of the example; a concurrent request waits, and finds what this one made."""
        services = self.tenancy.services
        examples.lock(scope)
        pair = _pair(scope, services)
        if pair is None:
            if found is None:
                raise Conflict("the sample photographs were deleted just now; send the request again")
            body = write_dataset(scope, upload, DATASET_NAME, found, services.limits).body
            pair = str(body["id"]), str(body["test_dataset_id"])
        fits = load_example().header.base_fingerprint == services.engine.base.fingerprint
        return self._imported(scope, pair) if fits else self._trained(scope, pair)

    def _imported(self, scope: Scope, pair: Pair) -> StoredAnswer:
        """The shipped adapter, brought in as any container is, with what it says of the photographs."""
        services, example = self.tenancy.services, load_example()
        delta, header = read_container(services, example.container)
        size, wrong = len(example.container), example.mistakes
        adapter = examples.adapter(scope, pair, header.base_fingerprint, example.container, len(wrong))
        if adapter is not None:
            return created(_view(pair, adapter_id=adapter.id), f"/adapters/{adapter.id}", 200)
        quotas.admit(scope, adapters=1, storage_bytes=size)
        row = adapter_row(services, examples.free_name(scope, ADAPTER_NAME), delta, header, size)
        images = examples.images(scope, pair)
        mistakes = [
            AdapterMistake(
                dataset_id=images[sha256].dataset_id,
                position=images[sha256].position,
                split=told.split,
                prediction=told.prediction,
            )
            for sha256, told in wrong
        ]
        adapter = adapters.add(scope, row, example.container, mistakes, example.answers)
        adapters.publish(scope, adapter)
        return created(_view(pair, adapter_id=adapter.id), f"/adapters/{adapter.id}")

    def _trained(self, scope: Scope, pair: Pair) -> StoredAnswer:
        """A training by the defaults of the base, or the one that was started before."""
        services = self.tenancy.services
        before = examples.job(scope, pair, services.engine.base.fingerprint)
        if before is not None:
            job, adapter_id = before
            return created(_view(pair, adapter_id, job.id), f"/jobs/{job.id}", 200)
        train, test = pair
        name = examples.free_name(scope, ADAPTER_NAME)
        job = job_of(services, TrainingBody(), name=name, dataset_id=train, test_dataset_id=test)
        self.ordered.append(queued(scope, services, job).id)
        return created(_view(pair, job_id=job.id), f"/jobs/{job.id}", 202)


def _pair(scope: Scope, services: Services) -> Pair | None:
    """The tenant's datasets of the photographs, if both are there."""
    example = load_example()
    train = examples.dataset(scope, DATASET_NAME, example.contents(test=False))
    test = examples.dataset(scope, test_name(DATASET_NAME, services.limits), example.contents(test=True))
    return (train.id, test.id) if train and test else None


def _view(pair: Pair, adapter_id: str | None = None, job_id: str | None = None) -> ExampleView:
    train, test = pair
    return ExampleView(dataset_id=train, test_dataset_id=test, adapter_id=adapter_id, job_id=job_id)
