"""The page's routes, which are there from the start; the page behind them is loaded while the service answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fastapi
import httpx

from ui.guard import Guard
from ui.loading import Built, Page
from ui.sign_in import SignIn
from ui.uploads import ParserOf, UploadLimits, Uploads
from ui.visitors import Visitors, connect


def mount(
    app: fastapi.FastAPI,
    api_url: str,
    parser: ParserOf,
    limits: UploadLimits,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    then: Callable[[], object] = lambda: None,
) -> Page:
    """Add the page's routes to `app`, and its loading to what `app` does while it runs.

    api_url: where the page reaches the API. parser: takes the files of uploads apart. transport: replaces the network,
    for tests. then: called when the page is there, or could not be loaded.
    """
    reach = partial(connect, api_url, transport=transport)
    uploads, visitors = Uploads(parser, limits), Visitors(reach)

    def build() -> Built:
        from ui.page import built  # noqa: PLC0415 (imports Gradio: more CPU time than all else of a start but torch)

        return built(api_url, uploads, limits.request_bytes, transport=transport)

    page = Page(build, then)
    page.live_in(app)
    app.router.routes.extend(Guard(page, visitors, uploads).routes())
    app.router.routes.extend(SignIn(visitors, reach).routes())
    return page
