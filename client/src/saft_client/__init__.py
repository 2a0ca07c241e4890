"""Python client of SAFT. It needs httpx and httpx-sse.

    client = saft_client.Client("http://localhost:8000", api_key="sk_...")
    dataset = client.datasets.upload_folder("photos/train")
    job = client.jobs.wait(client.adapters.train("photos", dataset), progress=True)
    for result in client.classify(["one.jpg", "two.jpg"], "photos"):
        print(result.name, result.label, result.probability)

`AsyncClient` has the same methods to be awaited. `errors` lists what is raised.
"""

from saft_client._adapters import TrainingConfig
from saft_client._files import Content, Image
from saft_client.client import AsyncClient, Client
from saft_client.errors import (
    ApiError,
    Busy,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotFound,
    QuotaExceeded,
    SaftError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from saft_client.records import (
    Adapter,
    AddedImages,
    Base,
    BlockCount,
    ClassCount,
    Collection,
    CollectionImage,
    Comparison,
    Dataset,
    DatasetImage,
    Example,
    ImageError,
    Job,
    Match,
    Mistake,
    Prediction,
    Rejected,
    Result,
)
from saft_client.tenant_records import Account, AuditEvent, Key, NewKey, NewTenant, Quota, Tenant, Usage

__all__ = [
    "Account",
    "Adapter",
    "AddedImages",
    "ApiError",
    "AsyncClient",
    "AuditEvent",
    "Base",
    "BlockCount",
    "Busy",
    "ClassCount",
    "Client",
    "Collection",
    "CollectionImage",
    "Comparison",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Content",
    "Dataset",
    "DatasetImage",
    "Example",
    "Image",
    "ImageError",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "Key",
    "Match",
    "Mistake",
    "NewKey",
    "NewTenant",
    "NotFound",
    "Prediction",
    "Quota",
    "QuotaExceeded",
    "Rejected",
    "Result",
    "SaftError",
    "Tenant",
    "TooLarge",
    "TrainingConfig",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Usage",
]
