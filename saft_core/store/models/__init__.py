"""The tables (SQLAlchemy models), by area. Importing the package registers all of them with `Model.metadata`.

A row that belongs to a tenant carries its `tenant_id` (`Owned`); saft_core/store/scope.py is where that is checked.
The steps that make the tables are in migrations/versions.
"""

from saft_core.store.models.adapters import Adapter, AdapterAnswers, AdapterDelta, AdapterMistake, AdapterName
from saft_core.store.models.base import Model, Owned, new_id
from saft_core.store.models.datasets import Collection, CollectionImage, Dataset, DatasetImage
from saft_core.store.models.images import Embedding, Image, ImageClaim, ImageEmbedding
from saft_core.store.models.jobs import Job, JobStatus, Publish
from saft_core.store.models.tenants import AuditEvent, IdempotencyRecord, Tenant, TenantKey

__all__ = [
    "Adapter",
    "AdapterAnswers",
    "AdapterDelta",
    "AdapterMistake",
    "AdapterName",
    "AuditEvent",
    "Collection",
    "CollectionImage",
    "Dataset",
    "DatasetImage",
    "Embedding",
    "IdempotencyRecord",
    "Image",
    "ImageClaim",
    "ImageEmbedding",
    "Job",
    "JobStatus",
    "Model",
    "Owned",
    "Publish",
    "Tenant",
    "TenantKey",
    "new_id",
]
