"""Settings: read once from the environment by each entry point, then passed on. Nothing else reads the environment.

Every limit carries its unit in its name. docs/configuration.md lists them all; a test keeps the two in step.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import DirectoryPath, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from saft_core.quota import Quota

MIB = 1 << 20
_ALLOWED_HOST = re.compile(r"(https?://)?(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[1-9][0-9]{0,4})?", re.IGNORECASE)


class Limits(BaseSettings):
    """What one request, image or job may cost. Passing a limit is an error that names it."""

    model_config = SettingsConfigDict(env_prefix="SAFT_", frozen=True, extra="ignore")

    max_upload_bytes: int = Field(2048 * MIB, gt=0, description="Size of one request body.")
    max_json_bytes: int = Field(64 * MIB, gt=0, description="Size of a request body that is not multipart.")
    max_archive_expanded_bytes: int = Field(4096 * MIB, gt=0, description="Size of an archive, unpacked.")
    max_archive_ratio: int = Field(200, gt=1, description="Unpacked size over packed size of one archive member.")
    max_dataset_images: int = Field(25_000, gt=0, description="Images in one dataset; also files in one request.")
    max_dataset_classes: int = Field(1_000, gt=1, description="Classes in one dataset.")
    min_class_images: int = Field(2, gt=0, description="Usable images a class needs.")
    max_label_characters: int = Field(100, gt=0, description="Length of a label or class name.")
    max_tenant_keys: int = Field(100, gt=0, description="Keys of one tenant.")
    min_admin_key_characters: int = Field(16, gt=0, description="Length of the admin key, at least.")
    max_name_characters: int = Field(200, gt=0, description="Length of a name that the tenant gives.")
    max_image_bytes: int = Field(32 * MIB, gt=0, description="Size of one image file.")
    max_image_pixels: int = Field(50_000_000, gt=0, description="Width times height of one image.")
    max_labels_bytes: int = Field(64 * MIB, gt=0, description="Size of one labels file in an upload, unpacked.")
    max_classify_images: int = Field(256, gt=0, description="Images in one classify request.")
    max_classify_labels: int = Field(1_000, gt=0, description="Labels in one classify request.")
    max_templates: int = Field(16, gt=0, description="Templates whose prompts are averaged.")
    max_collection_images: int = Field(10_000, gt=0, description="Images in one collection.")
    max_metadata_keys: int = Field(32, gt=0, description="Keys in the metadata of one image, or in a filter.")
    max_metadata_bytes: int = Field(4096, gt=0, description="Size of one image's metadata, or of a filter, as JSON.")
    max_strengths: int = Field(
        4,
        gt=0,
        description="Strengths with stored embeddings, per collection or dataset, beside 1 and the adapter's own.",
    )
    max_top_k: int = Field(1_000, gt=0, description="Results of one classify or retrieve request.")
    max_adapter_versions: int = Field(
        10, gt=1, description="Versions of one adapter; then the oldest goes that is not published."
    )
    max_page_items: int = Field(100, gt=0, description="Items on one page of a list.")
    max_epochs: int = Field(1_000, gt=0, description="Epochs of one training.")
    max_density: float = Field(0.1, gt=0, le=1, description="Share of the parameters one adapter may change.")
    max_delta_bytes: int = Field(256 * MIB, gt=0, description="Size of one delta container.")


class Settings(BaseSettings):
    """The whole configuration of one process."""

    model_config = SettingsConfigDict(env_prefix="SAFT_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the HTTP server listens on.")
    data_dir: Path = Field(Path("saft-data"), description="Folder of images and of the embedded servers.")
    admin_key: SecretStr | None = Field(None, description="Key that may create tenants; made at first start if unset.")
    admin_key_file: Path | None = Field(
        None, description="File with that key, read again when it changes; 'admin-key' in the data folder if unset."
    )
    page_sign_in: Literal["auto", "key"] = Field(
        "auto",
        description="'auto': on the machine of whoever started the service, the page signs them in by itself; 'key':"
        " nobody gets in without a key.",
    )
    default_quota: Quota | None = Field(
        None, description="Quota of new tenants, as JSON such as '{\"images\": 1000}'; no limits if unset."
    )
    base: str = Field(
        "",
        description="Empty: the embedded CLIP; or 'name/tag', 'name//file', 'hf-hub:org/name', a folder.",
    )
    probe: DirectoryPath | None = Field(
        None,
        description="Folder with a folder of pictures a concept, to see what is forgotten; the shipped one if unset.",
    )
    device: str = Field("auto", description="'cpu', 'cuda', or 'auto': cuda where there is one.")
    database_url: str | None = Field(
        None, validation_alias="DATABASE_URL", description="PostgreSQL; embedded if unset."
    )
    redis_url: str | None = Field(None, validation_alias="REDIS_URL", description="Redis or Valkey; embedded if unset.")
    key_memory_seconds: float = Field(
        1.0, ge=0, description="How long an API process remembers whose a key is, and so goes on with a revoked one."
    )
    adapter_cache_bytes: int = Field(512 * MIB, gt=0, description="Memory for decoded deltas in one API process.")
    compiled_bytes: int = Field(
        1024 * MIB,
        ge=0,
        description="Memory for compiled image towers, the base's and those of the adapters asked for most, in one API"
        " process with the extra `saft[openvino]`; 0: none are compiled.",
    )
    compiled_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="What compiled image towers compute in; bfloat16 takes less time on a processor that has it, and"
        " rounds.",
    )
    batch_images: int = Field(32, gt=0, description="Images (or texts) in one forward pass.")
    batch_wait_ms: float = Field(5.0, ge=0, description="How long a pass waits for a request that is being read.")
    queue_images: int = Field(
        1024, gt=0, description="Images (or texts) that may wait for a pass; one tenant has half of them; then 429."
    )
    inference_requests: int = Field(
        256,
        gt=0,
        description="Classify and retrieve requests under way; one tenant has half of them; then 429.",
    )
    picture_memory_bytes: int = Field(
        1024 * MIB,
        gt=0,
        description="Memory for the pictures that one API process reads at once; others wait, then 429.",
    )
    thumbnail_requests: int = Field(
        256, gt=0, description="Thumbnails asked for at once; one tenant has half of them; then 429."
    )
    thumbnail_threads: int = Field(
        0, ge=0, description="Thumbnails that one API process makes at once; 0: one for every two CPUs that it may use."
    )
    image_urls: str = Field(
        "",
        description="Hosts that images may be fetched from by URL, separated by commas: 'images.example.com',"
        " '*.example.com' for all below it, 'http://...' without TLS, with ':port'; none if empty.",
    )
    image_url_requests: int = Field(32, ge=8, description="Images fetched by URL at once; then 429.")
    image_url_seconds: float = Field(10.0, gt=0, description="Longest time for fetching one image by URL.")
    upload_requests: int = Field(
        256, gt=0, description="Multipart uploads under way; one tenant has half of them; then 429."
    )
    upload_threads: int = Field(8, gt=0, description="Uploads that are checked and stored at once; others wait.")
    body_memory_bytes: int = Field(256 * MIB, gt=0, description="Bodies held in memory, all requests together.")
    body_disk_bytes: int = Field(4096 * MIB, gt=0, description="Multipart bodies on disk, all requests together.")
    export_requests: int = Field(
        4, gt=0, description="Exports asked for, being made or being sent; one tenant has half of them; then 429."
    )
    export_seconds: float = Field(600.0, gt=0, description="Longest time for an export, to its last byte; then 504.")
    min_body_bytes_per_second: int = Field(16 << 10, ge=0, description="Slowest pace of a request body; then 408.")
    body_patience_seconds: float = Field(10.0, gt=0, description="How long a request body may be slower than that.")
    max_body_seconds: float = Field(3600.0, gt=0, description="Longest wait for one request body; then 408.")
    min_free_disk_bytes: int = Field(256 * MIB, ge=0, description="Room on the data folder's disk; less is 507.")
    request_deadline_seconds: float = Field(60.0, gt=0, description="Longest time for an answer; then 504.")
    drain_seconds: float = Field(5.0, ge=0, description="Time that requests under way get when the API stops.")
    health_check_seconds: float = Field(
        5.0, gt=0, description="Time limit of a health check under `saft serve`; three missed restart the part."
    )
    serving_threads: int = Field(
        0, ge=0, description="CPU threads of one API process's passes; 0: all it may use (affinity, cgroup quota)."
    )
    job_lease_seconds: float = Field(20.0, gt=0, description="A worker silent for so long has lost its job.")
    job_attempts: int = Field(3, gt=0, description="Workers that may die on a job before it fails.")
    checkpoint_interval_seconds: float = Field(30.0, gt=0, description="Pause between two saves of a training's state.")
    sweep_interval_seconds: float = Field(5.0, gt=0, description="Pause between looks for lost jobs.")
    limits: Limits = Field(default_factory=Limits)

    @field_validator("image_urls")
    @classmethod
    def _check_hosts(cls, setting: str) -> str:
        """Refuse a host that is misspelled at the start, not at the first request."""
        for entry in setting.replace(",", " ").split():
            if not _ALLOWED_HOST.fullmatch(entry):
                raise ValueError(f"{entry!r} is no host such as images.example.com or *.example.com")
        return setting

    @field_validator("database_url")
    @classmethod
    def _name_the_driver(cls, url: str | None) -> str | None:
        """The driver is psycopg 3, whatever spelling the URL came with."""
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if scheme.split("+")[0] not in ("postgres", "postgresql") or not separator:
            raise ValueError("DATABASE_URL must start with postgresql://")
        return f"postgresql+psycopg://{rest}"

    @property
    def signs_in_by_itself(self) -> bool:
        """Whether the page may sign in without a key: only where the service listens on the loopback address."""
        return self.page_sign_in == "auto" and self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def blob_dir(self) -> Path:
        """The folder of the blob store (saft_core/store/stores.py)."""
        return self.data_dir / "blobs"

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of training checkpoints."""
        return self.data_dir / "checkpoints"
