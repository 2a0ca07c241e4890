"""Swagger UI at /docs, served from a wheel instead of a CDN. The pages of docs/ are not served."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

FOLDER = Path(str(files("fastapi_offline"))) / "static"
SCRIPT, STYLE, ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"


def install(app: FastAPI) -> None:
    """Serve Swagger UI and its files; `app` must have been made with `docs_url=None`."""
    for name in (SCRIPT, STYLE, ICON):
        app.add_api_route(f"/docs/{name}", partial(_file, FOLDER / name), include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title}: reference",
            swagger_js_url=f"{root}/docs/{SCRIPT}",
            swagger_css_url=f"{root}/docs/{STYLE}",
            swagger_favicon_url=f"{root}/docs/{ICON}",
        )


def _file(path: Path) -> FileResponse:
    return FileResponse(path)
