"""What schemathesis does not do by itself: it loads this module as the configuration says."""

from __future__ import annotations

import base64
import io
import os
import zipfile
from typing import Any

import schemathesis
from PIL import Image


def png(shade: int) -> bytes:
    """A grey picture."""
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


def archive() -> bytes:
    """A labelled set of two classes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for shade in range(4):
            packed.writestr(f"{'dark' if shade < 2 else 'light'}/{shade}.png", png(60 * shade))
    return file.getvalue()


PICTURE, ARCHIVE = png(0), archive()
FILES: dict[str, dict[str, Any]] = {
    "/datasets": {"archive": ARCHIVE},
    "/datasets/{dataset_id}/revisions": {"archive": ARCHIVE, "changes": "{}"},
    "/collections/{collection_id}/images": {"files": [PICTURE]},
    "/thumbnails": {"file": PICTURE},
    "/classify": {"files": [PICTURE], "images": [base64.b64encode(PICTURE).decode()]},
    "/v1/embeddings": {"input": ["a cat", {"image": base64.b64encode(PICTURE).decode()}]},
    "/retrieve": {"image": base64.b64encode(PICTURE).decode()},
}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Leave the tenant alone whose key is used, and send real files in requests that are meant to be right.

    Deleted, or with a quota of nothing, it would be refused everything; files show what lies behind their check.
    """
    if (case.path_parameters or {}).get("tenant_id") == os.environ["FUZZ_TENANT_ID"] and case.method != "GET":
        case.path_parameters["tenant_id"] = "ten_of_nobody"
    files = FILES.get(case.path, {})
    if case.method == "POST" and isinstance(case.body, dict) and is_positive(case.meta):
        case.body |= {name: files[name] for name in files.keys() & case.body.keys()}
        if "archive" in case.body:  # which may not stand beside files
            case.body.pop("files", None)


def is_positive(meta: Any) -> bool:
    """Whether no part of a request is meant to be wrong."""
    return meta is not None and all(part.mode.is_positive for part in (meta.generation, *meta.components.values()))


@schemathesis.check
def every_error_is_problem_details(_ctx: Any, response: Any, _case: Any) -> None:
    """RFC 9457 on every path and method, described or not."""
    if response.status_code >= 400 and response.request.method != "HEAD":
        kind = response.headers.get("content-type", ["nothing"])[0]
        assert kind == "application/problem+json", f"{response.status_code} as {kind}"
        body = response.json()
        assert body["status"] == response.status_code
        assert body["code"]
