"""schemathesis on the description of a running service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.fixtures.service import NO_TLS, ONE_THREAD, Service

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


def fuzz(folder: Path, *arguments: str) -> int:
    """Start a service in `folder` and run schemathesis on it; its exit status, 0 when nothing was found.

    arguments: options of `schemathesis run`. The service's trainings are short, since each data set gets some.
    """
    service = Service(folder, **ONE_THREAD, SAFT_MAX_EPOCHS="1")
    service.start()
    try:
        tenant_key = service.new_tenant("fuzz").headers["authorization"].removeprefix("Bearer ")
        admin = {"Authorization": f"Bearer {service.admin_key}"}
        (tenant,) = httpx.get(f"{service.url}/tenants", headers=admin, verify=NO_TLS).raise_for_status().json()["items"]
        keys = {"FUZZ_TENANT_KEY": tenant_key, "FUZZ_ADMIN_KEY": service.admin_key, "PYTHONPATH": str(ROOT)}
        keys["FUZZ_TENANT_ID"] = tenant["id"]
        options = ["run", f"{service.url}/openapi.json", "--no-color", *arguments]
        command: Sequence[str] = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), *options]
        return subprocess.run(command, env=os.environ | keys, cwd=ROOT, check=False).returncode
    finally:
        service.stop()
