"""Tab 1: paste a key, or make one with the admin key."""

from __future__ import annotations

import gradio as gr

from ui import wording
from ui.session import EVENT, Session

WELCOME = (
    "A key keeps your images and adapters apart from everybody else's. "
    "Paste yours, or make one below if you run this service."
)

ADMIN_HELP = """### Make a new key
The admin key is printed on the console at the first start of `saft serve` and kept in the file `admin-key` of the
data folder; it is the setting `SAFT_ADMIN_KEY` where one was given."""


class KeyTab:
    """Who the visitor is."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.notice = gr.HTML(wording.note(WELCOME))
        with gr.Row(equal_height=False):
            with gr.Column(elem_classes="saft-card"):
                gr.Markdown("### I have a key")
                self.pasted = gr.Textbox(
                    value="", label="Key", type="password", placeholder="Paste your key", elem_id="saft-key"
                )
                self.remember = gr.Checkbox(
                    label="Remember on this computer",
                    info="Otherwise the key is forgotten when you close the browser.",
                    elem_id="saft-remember",
                )
                with gr.Row():
                    self.use = gr.Button("Use this key", variant="primary", elem_id="saft-use-key")
                    self.forget = gr.Button("Forget it", elem_id="saft-forget-key")
            with gr.Column(elem_classes="saft-card"):
                gr.Markdown(ADMIN_HELP)
                self.admin = gr.Textbox(value="", label="Admin key", type="password", elem_id="saft-admin-key")
                self.name = gr.Textbox(
                    value="", label="Your name or project", placeholder="my team", elem_id="saft-tenant"
                )
                self.create = gr.Button("Make a key", elem_id="saft-create-key")
                self.created = gr.Textbox(
                    value="",
                    label="Your new key: copy it now, it is shown this once",
                    buttons=["copy"],
                    interactive=False,
                    visible=False,
                    elem_id="saft-new-key",
                )

    def wire(self, page: gr.Blocks) -> None:
        """Connect the events; all of them run in the browser, in sign_in.js."""
        who, address = self.session.who, self.session.address
        known = [who, self.notice]
        page.load(None, [self.notice], [*known, self.remember, address], js="saft.load", **EVENT)
        gr.on(
            [self.use.click, self.pasted.submit],
            None,
            [self.pasted, self.remember, who],
            known,
            js="saft.enter",
            **EVENT,
        )
        self.create.click(
            None,
            [self.admin, self.name, self.remember, who, self.pasted],
            [*known, self.admin, self.pasted, self.created],
            js="saft.make",
            **EVENT,
        )
        self.remember.input(None, [self.remember, *known], known, js="saft.keep", **EVENT)
        self.forget.click(None, js="saft.leave", **EVENT)
