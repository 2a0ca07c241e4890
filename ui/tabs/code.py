"""Tab 6: code to copy, for what the visitor has."""

from __future__ import annotations

from typing import Literal

import gradio as gr

from saft_client import Adapter, AsyncClient
from ui import snippets
from ui.session import BASE, QUIET, Session, Updates, choose, guarded, some
from ui.tabs.search import BASE_CHOICE, collection_choices
from ui.tabs.try_out import adapter_choices
from ui.visitors import Visitor

TASKS = {"Classify an image": snippets.classify, "Search a collection": snippets.retrieve, "Fine-tune": snippets.create}
BASE_LABELS = ("cat", "dog", "bicycle")
HELP = """Every part of this page is a call of the HTTP API; [its reference is here](/docs).
The code runs as you paste it, with an image of yours as the example. Python needs the client once:
`pip install ./client` in a checkout of SAFT."""


class CodeTab:
    """Snippets."""

    def __init__(self, session: Session) -> None:
        self.session = session
        with gr.Column(elem_classes="saft-card"):
            gr.Markdown(HELP)
            with gr.Row():
                self.task = gr.Dropdown(list(TASKS), value=next(iter(TASKS)), label="What to do", elem_id="saft-task")
                self.adapter = gr.Dropdown([BASE_CHOICE], value=BASE, label="Adapter", elem_id="saft-code-adapter")
                self.collection = gr.Dropdown([], label="Collection", elem_id="saft-code-collection")
            self.with_key = gr.Checkbox(
                label="Write my key into the code",
                info="Handy to try it out. Otherwise the code reads it from SAFT_API_KEY, which is safer to share.",
                elem_id="saft-with-key",
            )
            self.notice = gr.HTML(elem_classes="saft-quiet")
            with gr.Tabs():
                with gr.Tab("curl"):
                    self.curl = self._code("shell", "saft-curl")
                with gr.Tab("Python"):
                    self.python = self._code("python", "saft-python")

    def _code(self, language: Literal["shell", "python"], name: str) -> gr.Code:
        return gr.Code(
            language=language,
            label="Copy and paste",
            interactive=False,
            show_line_numbers=False,
            wrap_lines=True,
            buttons=["copy"],
            elem_id=name,
        )

    def wire(self, tab: gr.Tab) -> None:
        """Connect the events."""
        gr.on(
            [tab.select, self.session.who.change],
            guarded(self.refresh, self.notice),
            [self.adapter, self.collection],
            [self.notice, self.adapter, self.collection],
            **QUIET,
        ).then(
            guarded(self.write, self.notice),
            self._inputs(),
            [self.notice, self.curl, self.python],
            **QUIET,
        )
        gr.on(
            [self.task.input, self.adapter.input, self.collection.input, self.with_key.input],
            guarded(self.write, self.notice),
            self._inputs(),
            [self.notice, self.curl, self.python],
            **QUIET,
        )

    def _inputs(self) -> list[gr.components.Component]:
        session = self.session
        return [session.address, self.task, self.adapter, self.collection, self.with_key]

    async def refresh(self, visitor: Visitor, adapter: str | None, collection: str | None) -> Updates:
        """Read the lists anew."""
        async with self.session.client(visitor) as client:
            adapters = await some(client.adapters.list())
            collections = await some(client.collections.list())
        chosen = adapter if adapter and adapter != BASE else None
        newest = adapters[0].id if adapters else BASE
        return {
            self.notice: "",
            self.adapter: choose([*adapter_choices(adapters), BASE_CHOICE], chosen, newest),
            self.collection: choose(collection_choices(collections), collection),
        }

    async def write(
        self, visitor: Visitor, address: str, task: str, adapter_id: str, collection_id: str | None, with_key: bool
    ) -> Updates:
        """Write the code for what is chosen."""
        async with self.session.client(visitor) as client:
            adapter = None if adapter_id == BASE else await client.adapters.get(adapter_id)
            dataset_id = await _dataset_of(client, adapter)
        example = snippets.Example(
            url=address,
            key=visitor.key if with_key else "",
            adapter=adapter.called if adapter else BASE,
            labels=() if adapter else BASE_LABELS,
            text=search_text(adapter),
            dataset_id=dataset_id,
            collection_id=collection_id,
        )
        snippet = TASKS[task](example)
        return {self.notice: "", self.curl: snippet.curl, self.python: snippet.python}


def search_text(adapter: Adapter | None) -> str:
    """One that fits the adapter: the (first) prompt of its first class, as it was trained with if that is known."""
    if adapter is None or not adapter.classes:
        return "a photo of a cat"
    template = adapter.template if isinstance(adapter.template, str) else adapter.template[0]
    prompt = adapter.metrics.get("prompts")
    while isinstance(prompt, list) and prompt:  # of the first class, of which there may be several
        prompt = prompt[0]
    return prompt if isinstance(prompt, str) else template.replace("{}", adapter.classes[0])


async def _dataset_of(client: AsyncClient, adapter: Adapter | None) -> str | None:
    """The dataset that the adapter learnt from, else the newest one, else None."""
    known = [dataset.id for dataset in await some(client.datasets.list())]
    if adapter and adapter.job_id:
        job = await client.jobs.get(adapter.job_id)
        if job.dataset_id in known:
            return job.dataset_id
    return known[0] if known else None
