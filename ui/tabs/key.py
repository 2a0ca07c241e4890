"""Tab 1: paste a key, or make one with the admin key."""

from __future__ import annotations

import gradio as gr

from ui import wording
from ui.client import ApiError
from ui.session import EVENT, Session, Updates, guarded

# The key stays in this browser tab; only where the visitor says so does it stay on the computer. A visitor who has a
# key comes back to the tab that was open. This runs before anybody can click: the server must not move people about.
LOAD = """() => {
  const kept = localStorage.getItem("saft-key");
  if (sessionStorage.getItem("saft-key") || kept)
    document.getElementById(sessionStorage.getItem("saft-tab") || "saft-tab-images-button")?.click();
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("#saft-tabs [role=tab][id^=saft-tab-]");
    if (tab) sessionStorage.setItem("saft-tab", tab.id);
  });
  return [sessionStorage.getItem("saft-key") || kept || "", kept !== null,
          location.origin + location.pathname.replace(/\\/+$/, "")];
}"""
KEEP = """(key, remember) => {
  if (!key) return;
  sessionStorage.setItem("saft-key", key);
  if (remember) localStorage.setItem("saft-key", key);
  else localStorage.removeItem("saft-key");
}"""
# The page starts afresh, so that nothing of the key's owner stays on the screen.
FORGET = """() => {
  sessionStorage.removeItem("saft-key");
  localStorage.removeItem("saft-key");
  location.reload();
}"""

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
                    info="Otherwise the key is forgotten when you close this browser tab.",
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
        """Connect the events."""
        known = [self.session.key, self.notice]
        page.load(
            self.arrive,
            [self.pasted, self.remember, self.session.address],
            [*known, self.pasted, self.remember, self.session.address],
            js=LOAD,
            **EVENT,
        )
        gr.on(
            [self.use.click, self.pasted.submit],
            guarded(self.connect, self.notice),
            [self.pasted],
            known,
            **EVENT,
        )
        self.create.click(
            guarded(self.make, self.notice),
            [self.admin, self.name],
            [*known, self.admin, self.pasted, self.created],
            **EVENT,
        )
        gr.on([self.session.key.change, self.remember.input], None, [self.session.key, self.remember], js=KEEP, **EVENT)
        self.forget.click(None, js=FORGET, **EVENT)

    async def arrive(self, pasted: str, remembered: bool, address: str) -> Updates:
        """The page has loaded; use the key that the browser kept, if any."""
        if not pasted:  # the box stays as it is: somebody may be typing already
            return {self.session.address: address}
        updates: Updates = {self.session.address: address, self.pasted: pasted, self.remember: remembered}
        try:
            return updates | await self.connect(pasted)
        except ApiError as error:
            return updates | {self.notice: wording.problem(error)}

    async def connect(self, pasted: str) -> Updates:
        """Check a key and take it."""
        key = pasted.strip()
        async with self.session.client(key) as client:
            await client.check_key()
        return {self.session.key: key, self.notice: wording.note("Your key works. Go on to Images.", "good")}

    async def make(self, admin: str, name: str) -> Updates:
        """Make a tenant and take its key."""
        if not admin.strip() or not name.strip():
            return {self.notice: wording.note("Fill in the admin key and a name.", "bad")}
        async with self.session.anonymous(admin.strip()) as client:
            tenant = await client.create_tenant(name.strip())
        return {
            self.session.key: tenant.api_key,
            self.notice: wording.note(f"Made a key for {tenant.name}. Copy it, then go on to Images.", "good"),
            self.admin: "",
            self.pasted: tenant.api_key,
            self.created: gr.Textbox(tenant.api_key, visible=True),
        }
