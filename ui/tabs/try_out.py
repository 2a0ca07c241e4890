"""Tab 4: one image, the base model and an adapter side by side."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import gradio as gr

from saft_client import Adapter, Result
from ui import wording
from ui.inputs import by_name
from ui.session import BASE, EVENT, QUIET, Session, Updates, choose, guarded, some
from ui.visitors import Visitor

SHOWN_LABELS = 5
NO_ADAPTER = "There is no adapter yet. The Fine-tune tab makes one."


def adapter_choices(adapters: Sequence[Adapter]) -> list[tuple[str, str]]:
    """What a drop-down of adapters shows."""
    return [(f"{adapter.called}{_accuracy(adapter)}", adapter.id) for adapter in adapters]


def _accuracy(adapter: Adapter) -> str:
    accuracy = adapter.metrics.get("accuracy")
    return "" if accuracy is None else f" · {wording.percent(accuracy)} accurate"


def labels_of(text: str) -> list[str]:
    """Labels typed with commas or line ends between them; each once, in the order given."""
    return list(dict.fromkeys(label.strip() for label in re.split(r"[,\n]", text) if label.strip()))


class TryTab:
    """Base and adapter, side by side."""

    def __init__(self, session: Session) -> None:
        self.session = session
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_classes="saft-card"):
                self.adapter = gr.Dropdown([], label="Adapter", elem_id="saft-try-adapter")
                self.image = by_name(
                    gr.Image(label="Image", sources=["upload", "clipboard"], height=280, elem_id="saft-try-image")
                )
                self.labels = gr.Textbox(
                    value="",
                    label="Labels",
                    info="Optional: your own words, with commas between them. Left empty: the adapter's classes.",
                    placeholder="cat, dog, something else",
                    elem_id="saft-try-labels",
                )
                self.go = gr.Button("What is it?", variant="primary", elem_id="saft-try-go")
            with gr.Column(scale=3, min_width=300, elem_classes="saft-card"):
                self.notice = gr.HTML(wording.note("Choose an image to see what both models say."))
                with gr.Row():
                    self.base = gr.Label(label="Base model", num_top_classes=SHOWN_LABELS, elem_id="saft-try-base")
                    self.adapted = gr.Label(
                        label="With the adapter", num_top_classes=SHOWN_LABELS, elem_id="saft-try-adapted"
                    )

    def wire(self, tab: gr.Tab) -> None:
        """Connect the events."""
        gr.on(
            [tab.select, self.session.who.change],
            guarded(self.refresh, self.notice),
            [self.adapter],
            [self.notice, self.adapter],
            **QUIET,
        )
        gr.on(
            [self.go.click, self.image.upload, self.labels.submit],
            guarded(self.compare, self.notice),
            [self.adapter, self.image, self.labels],
            [self.notice, self.base, self.adapted],
            **EVENT,
        )

    async def refresh(self, visitor: Visitor, current: str | None) -> Updates:
        """Read the list of adapters anew."""
        async with self.session.client(visitor) as client:
            adapters = await some(client.adapters.list())
        notice = {} if adapters else {self.notice: wording.note(NO_ADAPTER)}
        return {self.adapter: choose(adapter_choices(adapters), current)} | notice

    async def compare(self, visitor: Visitor, adapter_id: str | None, image: str | None, text: str) -> Updates:
        """Ask both models about the image, with the same labels and the same prompt."""
        if not adapter_id:
            return {self.notice: wording.note(NO_ADAPTER, "bad")}
        if not image:
            return {self.notice: wording.note("Choose an image first.", "bad")}
        content = await self.session.uploads.read(visitor, image)
        async with self.session.client(visitor) as client:
            adapter = await client.adapters.get(adapter_id)
            labels = labels_of(text) or adapter.classes
            (base,), (adapted,) = await asyncio.gather(
                client.classify(content, BASE, labels=labels, template=adapter.template),
                client.classify(content, adapter, labels=labels, template=adapter.template),
            )
        return {
            self.notice: _verdict(base, adapted),
            self.base: _probabilities(base),
            self.adapted: _probabilities(adapted),
        }


def _probabilities(result: Result) -> dict[str, float]:
    return {entry.label: entry.probability for entry in result.predictions}


def _verdict(base: Result, adapted: Result) -> str:
    before, after = base.label, adapted.label
    sure = f"{wording.percent(base.probability)} and {wording.percent(adapted.probability)} sure"
    said = f"The base model says “{before}”, the adapter “{after}”: {sure}."
    if before == after:
        said = f"Both say “{after}”: {sure}."
    if adapted.unknown is not None and adapted.strange:
        return wording.note(f"It looks like none of these ({wording.percent(adapted.unknown)} sure). {said}")
    return wording.note(said, "good")
