"""The page: six tabs over the HTTP API. Importing this imports Gradio, which takes seconds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import fastapi
import gradio as gr
import httpx
from starlette.routing import Mount

from ui.loading import Built
from ui.session import Session
from ui.tabs.code import CodeTab
from ui.tabs.images import ImagesTab
from ui.tabs.key import KeyTab
from ui.tabs.search import SearchTab
from ui.tabs.try_out import TryTab
from ui.tabs.tune import TuneTab
from ui.theme import theme
from ui.uploads import Uploads

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


def built(
    api_url: str, uploads: Uploads, max_bytes: int, *, transport: httpx.AsyncBaseTransport | None = None
) -> Built:
    """The page in Gradio's app. Nothing is recorded, and nothing is loaded from other hosts.

    max_bytes: of one file. transport: replaces the network, for tests.
    """
    page = build(api_url, uploads, transport=transport)
    # Gradio's app is taken out of a stand-in, which it was mounted to as a whole: nothing reaches it but by the guard.
    stand_in = fastapi.FastAPI()
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
        max_file_size=max_bytes,
        theme=theme(),
        css_paths=HERE / "style.css",
        head="".join(f"<script>{(HERE / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS),
    )
    functions = frozenset(function["id"] for function in page.config["dependencies"] if function["backend_fn"])
    gradio = next(route.app for route in stand_in.routes if isinstance(route, Mount))
    return Built(gradio, functions, partial(stand_in.router.lifespan_context, stand_in))
