"""The page: Gradio's frame with its tabs, each filled by a module of `static/`. Importing this takes seconds."""

from __future__ import annotations

import fastapi
import gradio as gr

from ui.static import FILES, ICON
from ui.theme import theme

TITLE = "SAFT: your own image classifier from a few pictures"
TABS = {
    "teach": "Teach",
    "try": "Try",
    "search": "Search",
    "adapters": "Adapters",
    "use": "Use it",
}
"""The tabs by the modules that fill them. The modules write the labels anew, in the visitor's language."""
_MOUNT = "import(new URL('{prefix}/app.js', document.baseURI)).then((app) => app.mount('{name}', element))"


def part(name: str) -> gr.HTML:
    """A part of the page that the module of this name draws, as soon as it is to be seen."""
    return gr.HTML(
        html_template=f'<div class="saft" data-part="{name}"></div>',
        js_on_load=_MOUNT.format(prefix=FILES.prefix, name=name),
        apply_default_css=False,
        elem_id=f"saft-{name}",
    )


def build() -> gr.Blocks:
    """The frame. None of its events runs anything here."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False)
    with page:
        part("header")
        with gr.Tabs(elem_id="saft-tabs", overflow_behavior="wrap"):
            for name, label in TABS.items():
                with gr.Tab(label, elem_id=f"saft-tab-{name}"):
                    part(name)
    page.queue(api_open=False)
    return page


def head() -> str:
    """What the page loads of ours; all modules at once, for the browser would find them one after another."""
    styles = "".join(f'<link rel="stylesheet" href="{path}">' for path in FILES.under("styles/", ".css"))
    modules = [path for path in FILES.under("", ".js") if "/lazy/" not in path]
    loads = "".join(f'<link rel="modulepreload" href="{path}">' for path in modules)
    icon = f'<link rel="icon" type="image/svg+xml" href="{FILES.prefix}/{ICON}">'
    return f"{icon}{styles}{loads}"


def built() -> fastapi.FastAPI:
    """The frame as an application. Nothing is recorded, and nothing is loaded from other hosts."""
    stand_in = fastapi.FastAPI()
    gr.mount_gradio_app(
        stand_in,
        build(),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=theme(),
        head=head(),
    )
    return stand_in
