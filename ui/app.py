"""The page: six tabs over the HTTP API."""

from __future__ import annotations

from pathlib import Path

import fastapi
import gradio as gr
import httpx

from ui.session import Session
from ui.tabs.code import CodeTab
from ui.tabs.images import ImagesTab
from ui.tabs.key import KeyTab
from ui.tabs.search import SearchTab
from ui.tabs.try_out import TryTab
from ui.tabs.tune import TuneTab
from ui.theme import theme

HERE = Path(__file__).parent
TITLE = "SAFT: your own image classifier from a few pictures"
HEADER = """<header class="saft-header"><h1>SAFT</h1>
<p>Teach a CLIP model your own classes with a few images, in minutes.</p></header>"""

# Files that visitors drop are copied into the service at once; what is left over goes after this time, in seconds.
CACHE_SWEEP_SECONDS = 600
CACHE_AGE_SECONDS = 3600


def build(api_url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> gr.Blocks:
    """The page over the service at `api_url`. `transport` replaces the network, for tests."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(CACHE_SWEEP_SECONDS, CACHE_AGE_SECONDS))
    with page:
        gr.HTML(HEADER)
        key = gr.Textbox(value="", label="Key in use", type="password", visible="hidden")
        address = gr.Textbox(value="", label="Address in use", visible="hidden")
        session = Session(api_url.rstrip("/"), key, address, transport)
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


def mount(app: fastapi.FastAPI, api_url: str, *, max_upload_bytes: int | None = None) -> fastapi.FastAPI:
    """Put the page at `/` of `app`, after its own routes. `api_url` is where the page reaches the API.

    Nothing is recorded and nothing is loaded from other hosts.
    """
    gr.mount_gradio_app(
        app,
        build(api_url),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=max_upload_bytes,
        theme=theme(),
        css_paths=HERE / "style.css",
        head=f"<script>{(HERE / 'folder.js').read_text(encoding='utf-8')}</script>",
    )
    return app
