"""Tab 3: start a fine-tune, watch it, and see what it brought."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import escape
from typing import Any, cast

import gradio as gr

from saft_client import Adapter, ApiError, AsyncClient, Dataset, Job, NotFound, TrainingConfig
from ui import charts, wording
from ui.session import EVENT, QUIET, Session, Updates, choose, guarded, guarded_stream, some
from ui.tabs.images import dataset_choices
from ui.visitors import Visitor

DEFAULT = "default of the base model"
HELD_OUT = "a fifth of it, kept aside"
ENCODERS = [(DEFAULT, ""), ("both", "both"), ("image only", "image"), ("text only", "text")]
NOTHING_YET = '<p class="saft-empty">Nothing yet. Start one, and watch it here.</p>'
AFTER, BEFORE = "adapted", "zero-shot"


class TuneTab:
    """Fine-tunes of the visitor."""

    def __init__(self, session: Session) -> None:
        self.session = session
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_classes="saft-card"):
                self._form()
            with gr.Column(scale=3, min_width=300, elem_classes="saft-card"):
                self.job = gr.Dropdown([], label="Fine-tune", elem_id="saft-job")
                self.notice = gr.HTML(elem_classes="saft-quiet")
                self.status = gr.HTML(NOTHING_YET, elem_id="saft-job-status", elem_classes="saft-quiet")
                self.cancel = gr.Button(
                    "Cancel", size="sm", visible=False, scale=0, min_width=120, elem_id="saft-cancel"
                )
                self.curve = gr.HTML(elem_classes="saft-quiet")
        with gr.Column(visible=False, elem_id="saft-result", elem_classes="saft-card") as self.result:
            self.accuracy = gr.HTML(elem_id="saft-accuracy")
            self.side = gr.Radio([AFTER, BEFORE], value=AFTER, label="Confusion matrix", elem_id="saft-side")
            self.matrix = gr.HTML(elem_id="saft-confusion")
            with gr.Accordion("Where in the model the changes are", open=False):
                self.blocks = gr.HTML()
        self.metrics = gr.State({})

    def _form(self) -> None:
        gr.Markdown("### New fine-tune")
        self.dataset = gr.Dropdown([], label="Dataset", elem_id="saft-tune-dataset")
        self.test = gr.Dropdown([(HELD_OUT, "")], value="", label="Measure on", elem_id="saft-tune-test")
        self.name = gr.Textbox(value="", label="Name of the adapter", placeholder="pets", elem_id="saft-adapter-name")
        with gr.Accordion("Advanced settings", open=False, elem_id="saft-advanced"):
            gr.Markdown("An empty field means the default of the base model, which is a good choice.")
            self.epochs = gr.Textbox(value="", label="Epochs", placeholder=DEFAULT, elem_id="saft-epochs")
            self.batch = gr.Textbox(value="", label="Batch size, in images", placeholder=DEFAULT)
            self.rate = gr.Textbox(value="", label="Learning rate", placeholder=DEFAULT)
            self.density = gr.Textbox(
                value="", label="Density", info="Share of the model's parameters that may change.", placeholder=DEFAULT
            )
            self.template = gr.Textbox(
                value="", label="Prompt", info="{} stands for the class name.", placeholder=DEFAULT
            )
            self.encoders = gr.Dropdown(ENCODERS, value="", label="Parts of the model that may change")
            self.seed = gr.Textbox(value="", label="Seed", placeholder="0")
        self.start = gr.Button("Start the fine-tune", variant="primary", elem_id="saft-start")
        self.refusal = gr.HTML(elem_classes="saft-quiet")

    def wire(self, tab: gr.Tab) -> None:
        """Connect the events."""
        # Each change of the drop-down asks for one more watch and ends the one before it.
        asked = gr.State(0)
        watching = asked.change(
            guarded_stream(self.watch, self.notice),
            [self.job],
            [self.notice, self.status, self.cancel, self.curve, *self._result()],
            trigger_mode="multiple",
            **QUIET,
        )
        self.job.change(lambda number: number + 1, asked, asked, cancels=[watching], **QUIET)
        gr.on(
            [tab.select, self.session.who.change],
            guarded(self.refresh, self.notice),
            [self.dataset, self.test, self.job],
            [self.notice, self.dataset, self.test, self.job],
            **QUIET,
        )
        settings = [self.epochs, self.batch, self.rate, self.density, self.template, self.encoders, self.seed]
        self.start.click(
            guarded(self.begin, self.refusal),
            [self.name, self.dataset, self.test, *settings],
            [self.refusal, self.job, self.name],
            **EVENT,
        )
        self.cancel.click(guarded(self.stop, self.notice), [self.job], [self.notice, self.cancel], **QUIET)
        self.side.input(matrix, [self.metrics, self.side], self.matrix, **QUIET)

    def _result(self) -> list[Any]:
        return [self.result, self.accuracy, self.side, self.matrix, self.blocks, self.metrics]

    async def refresh(self, visitor: Visitor, dataset: str | None, test: str | None, job: str | None) -> Updates:
        """Read the lists anew; a fine-tune that runs is shown, if none was chosen."""
        async with self.session.client(visitor) as client:
            datasets = await some(client.datasets.list())
            jobs = await some(client.jobs.list())
        choices = dataset_choices(datasets)
        running = next((entry.id for entry in jobs if not entry.final), None)
        return {
            self.dataset: choose(choices, dataset, _training_choice(datasets)),
            self.test: choose([(HELD_OUT, ""), *choices], test),
            self.job: choose(job_choices(jobs), job, running),
        }

    async def begin(
        self, visitor: Visitor, name: str, dataset: str | None, test: str | None, *settings: str
    ) -> Updates:
        """Start a fine-tune and show it."""
        if not dataset:
            return {self.refusal: wording.note("Choose a dataset first; the Images tab makes one.", "bad")}
        if not name.strip():
            return {self.refusal: wording.note("Give the adapter a name.", "bad")}
        wanted = config(*settings)
        async with self.session.client(visitor) as client:
            job = await client.adapters.train(name.strip(), dataset, test_dataset=test or None, config=wanted)
            jobs = await some(client.jobs.list())
        return {self.refusal: "", self.job: choose(job_choices(jobs), job.id), self.name: ""}

    async def stop(self, visitor: Visitor, job_id: str) -> Updates:
        """Ask the job to stop; the watch shows when it has."""
        async with self.session.client(visitor) as client:
            await client.jobs.cancel(job_id)
        return {self.notice: "", self.cancel: gr.Button("Stopping …", interactive=False)}

    async def watch(self, visitor: Visitor, job_id: str | None) -> AsyncIterator[Updates]:
        """Show the job as it moves on, and its result at the end."""
        if not job_id:
            yield {self.status: NOTHING_YET, self.curve: "", self.cancel: gr.Button(visible=False)} | self._no_result()
            return
        yield self._no_result()
        async with self.session.client(visitor) as client:
            async for job in client.jobs.events(job_id):
                yield self._progress(job)
            adapter = await _adapter_of(client, job)
        if job.metrics:
            yield self._results(dict(job.metrics), adapter)

    def _progress(self, job: Job) -> Updates:
        label = "Stopping …" if job.cancel_requested else "Cancel"
        return {
            self.notice: wording.job_error(job),
            self.status: status(job),
            self.curve: charts.loss_curve(job.losses, job.steps) if job.losses or not job.final else "",
            self.cancel: gr.Button(label, visible=not job.final, interactive=not job.cancel_requested),
        }

    def _no_result(self) -> Updates:
        return {self.notice: "", self.result: gr.Column(visible=False), self.metrics: {}}

    def _results(self, metrics: dict[str, Any], adapter: Adapter | None) -> Updates:
        return {
            self.result: gr.Column(visible=True),
            self.accuracy: accuracy(metrics, adapter),
            self.side: gr.Radio(value=AFTER, visible=bool(metrics.get("confusion"))),
            self.matrix: matrix(metrics, AFTER),
            self.blocks: charts.block_bars(adapter.blocks) if adapter else "",
            self.metrics: metrics,
        }


async def _adapter_of(client: AsyncClient, job: Job) -> Adapter | None:
    """What the job made; None where it made nothing, or where that has been deleted since."""
    if not job.adapter_id:
        return None
    try:
        return await client.adapters.get(job.adapter_id)
    except NotFound:
        return None


def _training_choice(datasets: list[Dataset]) -> str | None:
    """The newest dataset that is not named as a test set: people upload the training images first."""
    return next((entry.id for entry in datasets if "test" not in entry.name.lower()), None)


def job_choices(jobs: list[Job]) -> list[tuple[str, str]]:
    """What the drop-down of fine-tunes shows; nothing that changes while one looks at it."""
    return [(f"{job.name} · {job.id.partition('_')[2][:6]}", job.id) for job in jobs]


def config(epochs: str, batch: str, rate: str, density: str, template: str, encoders: str, seed: str) -> TrainingConfig:
    """The settings that were filled in. Raises ApiError `invalid_config` naming the one that is no number."""
    filled: dict[str, Any] = {}
    fields: tuple[tuple[str, str, type[int] | type[float]], ...] = (
        ("epochs", epochs, int),
        ("batch_size", batch, int),
        ("learning_rate", rate, float),
        ("density", density, float),
        ("seed", seed, int),
    )
    for name, text, kind in fields:
        if text.strip():
            filled[name] = _number(name, text.strip(), kind)
    texts = {name: text for name, text in (("template", template), ("encoders", encoders)) if text.strip()}
    return cast("TrainingConfig", filled | texts)


def _number(name: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        label = name.replace("_", " ").capitalize()
        raise ApiError("invalid_config", f"{label} must be {what}, not “{text}”.") from None


def status(job: Job) -> str:
    """Phase, progress bar, step and time left."""
    share = 1.0 if job.status == "succeeded" else job.progress
    facts = [f"step {job.step:,} of {job.steps:,}"] if job.steps else []
    if not job.final and job.eta_seconds is not None and not job.cancel_requested:
        facts.append(f"{wording.duration(job.eta_seconds)} left")
    width = f"{min(max(share, 0.0), 1.0):.1%}"
    return (
        f'<div class="saft-status saft-{escape(job.status)}">'
        f'<p><strong id="saft-phase">{escape(wording.phase(job))}</strong>'
        f"<span>{' · '.join(facts)}</span></p>"
        f'<div class="saft-progress" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{share * 100:.0f}"><span style="width:{width}"></span></div></div>'
    )


def accuracy(metrics: dict[str, Any], adapter: Adapter | None) -> str:
    """Accuracy before and after, and what it cost."""
    before, after = metrics.get("zero_shot_accuracy"), metrics.get("accuracy")
    if before is None or after is None:
        bars = wording.note("There were too few images to keep some aside, so nothing was measured.")
    else:
        images = wording.count(metrics.get("test_images", 0), "image")
        bars = (
            f"<h3>Accuracy on {images} it was not trained on</h3>"
            f'<p id="saft-verdict"><strong>{escape(wording.verdict(metrics))}</strong></p>'
            f'{charts.accuracy_bars(before, after)}<p class="saft-hint">{escape(_how_measured(metrics))}</p>'
        )
    return bars + _new_classes(metrics) + (_cost(metrics, adapter) if adapter else "")


def _new_classes(metrics: dict[str, Any]) -> str:
    """What became of classes that were tested and not trained, if there are any."""
    told = metrics.get("base_to_new")
    if not told:
        return ""
    named = ", ".join(told["new"]["confusion"]["labels"])
    images = wording.count(told["new"]["test_images"], "image")
    return (
        f"<h3>Accuracy on classes it was not trained on</h3>"
        f"{charts.accuracy_bars(told['zero_shot_new_accuracy'], told['new_accuracy'])}"
        f'<p class="saft-hint">{images} of {escape(named)}, told from each other.</p>'
    )


def _how_measured(metrics: dict[str, Any]) -> str:
    where = f"Measured on the {metrics.get('evaluated_on', 'test images')}"
    if metrics.get("evaluate") == "refit" and metrics.get("evaluated_on") == "held-out split":
        return f"{where}, which took no part in training. A second training then took all images."
    return f"{where}, with the adapter as it is stored."


def _cost(metrics: dict[str, Any], adapter: Adapter) -> str:
    seconds = metrics.get("seconds") or {}
    spent = sum(value for value in seconds.values() if isinstance(value, int | float))
    facts = [
        (wording.size(adapter.delta_bytes), "size of the adapter"),
        (f"{adapter.nnz:,}", f"numbers changed, {wording.percent(adapter.density, 2)} of the model"),
    ]
    if adapter.strength != 1:
        facts.append((wording.percent(adapter.strength), "strength it answers with"))
    kept = metrics.get("kept")
    if kept is not None:
        facts.append((wording.percent(kept), "of the everyday things that the base model knows, it still knows"))
    if spent:
        facts.append((f"{spent:.0f} s" if spent < 100 else f"{spent / 60:.1f} min", "time it took"))
    tiles = "".join(f"<li><strong>{escape(value)}</strong><span>{escape(what)}</span></li>" for value, what in facts)
    return f'<ul class="saft-tiles">{tiles}</ul>'


def matrix(metrics: dict[str, Any], side: str) -> str:
    """The confusion matrix of one side; nothing where none was measured."""
    table = metrics.get("confusion")
    if not table:
        return ""
    counts = table["adapted" if side == AFTER else "zero_shot"]
    return charts.confusion(table["labels"], counts, side.capitalize())
