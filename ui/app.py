"""The page: six tabs over the HTTP API."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import fastapi
import gradio as gr
import httpx
from starlette.routing import Mount

from ui.client import ApiClient
from ui.guard import Guard
from ui.session import Session
from ui.sign_in import SignIn
from ui.tabs.code import CodeTab
from ui.tabs.images import ImagesTab
from ui.tabs.key import KeyTab
from ui.tabs.search import SearchTab
from ui.tabs.try_out import TryTab
from ui.tabs.tune import TuneTab
from ui.theme import theme
from ui.uploads import ParserOf, UploadLimits, Uploads
from ui.visitors import Visitors

HERE = Path(__file__).parent
SCRIPTS = ("sign_in.js", "folder.js")
TITLE = "SAFT: your own image classifier from a few pictures"
MAX_SESSIONS = 1000
"""Browser tabs whose state Gradio holds, 0.2 MB each; the oldest makes room."""
HEADER = """<header class="saft-header"><h1>SAFT</h1>
<p>Teach a CLIP model your own classes with a few images, in minutes.</p></header>"""


def build(api_url: str, uploads: Uploads, *, transport: httpx.AsyncBaseTransport | None = None) -> gr.Blocks:
    """The page over the service at `api_url`. `transport` replaces the network, for tests."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False)
    page.state_session_capacity = MAX_SESSIONS
    with page:
        gr.HTML(HEADER)
        who = gr.Textbox(value="", label="Visitor", visible="hidden")
        address = gr.Textbox(value="", label="Address in use", visible="hidden")
        session = Session(api_url.rstrip("/"), uploads, who, address, transport)
        with gr.Tabs(elem_id="saft-tabs", overflow_behavior="wrap"):
            with gr.Tab("1 Key", elem_id="saft-tab-key"):
                key_tab = KeyTab(session)
            with gr.Tab("2 Images", elem_id="saft-tab-images") as images:
                ImagesTab(session).wire(images)
            with gr.Tab("3 Fine-tune", elem_id="saft-tab-tune") as tune:
                TuneTab(session).wire(tune)
            with gr.Tab("4 Try", elem_id="saft-tab-try") as try_out:
                TryTab(session).wire(try_out)
            with gr.Tab("5 Search", elem_id="saft-tab-search") as search:
                SearchTab(session).wire(search)
            with gr.Tab("6 API", elem_id="saft-tab-api") as code:
                CodeTab(session).wire(code)
        key_tab.wire(page)
    page.queue(api_open=False, default_concurrency_limit=None)
    return page


def mount(
    app: fastapi.FastAPI,
    api_url: str,
    parser: ParserOf,
    limits: UploadLimits,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> fastapi.FastAPI:
    """Add the page's routes to `app`; `api_url` is where the page reaches the API.

    parser: takes the files of uploads apart. transport: replaces the network, for tests. Nothing is recorded, and
    nothing is loaded from other hosts.
    """
    connect = partial(ApiClient, api_url, transport=transport)
    uploads, visitors = Uploads(parser, limits), Visitors(connect)
    page = build(api_url, uploads, transport=transport)
    # Gradio's app is taken out of a stand-in, which it was mounted to as a whole: nothing reaches it but by the guard.
    stand_in = fastapi.FastAPI(lifespan=app.router.lifespan_context)
    gr.mount_gradio_app(
        stand_in,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=limits.request_bytes,
        theme=theme(),
        css_paths=HERE / "style.css",
        head="".join(f"<script>{(HERE / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS),
    )
    app.router.lifespan_context = stand_in.router.lifespan_context
    functions = [function["id"] for function in page.config["dependencies"] if function["backend_fn"]]
    gradio = next(route.app for route in stand_in.routes if isinstance(route, Mount))
    app.router.routes.extend(Guard(gradio, functions, visitors, uploads).routes())
    app.router.routes.extend(SignIn(visitors, connect).routes())
    return app
