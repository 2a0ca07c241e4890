"""The routes of the page; Gradio behind them is loaded in the background while the API answers already."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fastapi
import httpx

from ui.allowlist import routes
from ui.cookie_auth import CookieAuth
from ui.loading import Page
from ui.own_machine import KeyKeeper, OwnMachine
from ui.sign_in import SignIn
from ui.static import FILES
from ui.visitors import connect


def mount(
    app: fastapi.FastAPI,
    api_url: str,
    *,
    own: tuple[Callable[[], str], KeyKeeper] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    then: Callable[[], object] = lambda: None,
) -> Page:
    """Add the page to `app`: its routes, its way to the API, and its loading to what `app` does while it runs.

    api_url: where the page reaches the API. own: the admin key and where the key of this machine's own tenant is kept,
    where whoever started the service needs none. transport: replaces the network, for tests. then: called when the page
    is there, or could not be loaded.
    """
    reach = partial(connect, api_url, transport=transport)

    def build() -> fastapi.FastAPI:
        from ui.page import built  # noqa: PLC0415 (imports Gradio: more CPU time than all else of a start but torch)

        return built()

    page = Page(build, then)
    page.live_in(app)
    sign_in = SignIn(reach, OwnMachine(*own, reach) if own else None)
    app.router.routes.extend([*routes(page), *FILES.routes, *sign_in.routes()])
    app.add_middleware(CookieAuth)
    return page
