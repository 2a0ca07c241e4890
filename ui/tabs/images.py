"""Tab 2: upload labelled images and look at what became of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePath

import gradio as gr

from saft_client import AsyncClient, Dataset, DatasetImage, SaftError
from ui import charts, wording
from ui.inputs import by_name
from ui.pictures import Picture, strip
from ui.session import EVENT, QUIET, Session, Updates, choose, guarded, guarded_stream, some
from ui.visitors import Visitor

HELP = """### Add images
One folder per class, named as the class, with the images in it. A handful of images a class is enough; 16 is good.

```
my-images.zip
  cat/   one.jpg  two.jpg
  dog/   three.png
```

The model that comes with SAFT knows photographs of everyday things: animals, food, plants, vehicles, tools, rooms,
buildings. For people, text in pictures, medical or satellite pictures, whoever runs this service should set a larger
one (`SAFT_BASE`)."""

CHOOSE_FOLDER = (
    '<button type="button" id="saft-choose-folder" class="saft-button">or choose a folder</button>'
    '<p id="saft-drop-status" class="saft-hint" role="status" aria-live="polite"></p>'
)

ALL = "all classes"
SHOWN_PER_CLASS = 8
SHOWN_OF_ONE_CLASS = 60
SHOWN_CLASSES = 20
# Requests for images that one visitor's page has on the way at a time.
PARALLEL = 8


def dataset_choices(datasets: Sequence[Dataset]) -> list[tuple[str, str]]:
    """What a drop-down of datasets shows."""
    return [
        (f"{dataset.name} · {wording.count(dataset.image_count, 'image')}, {_classes(dataset)}", dataset.id)
        for dataset in datasets
    ]


def _classes(dataset: Dataset) -> str:
    return wording.count(len(dataset.classes), "class")


class ImagesTab:
    """Datasets of the visitor."""

    def __init__(self, session: Session) -> None:
        self.session = session
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_classes="saft-card"):
                gr.Markdown(HELP)
                self.name = gr.Textbox(
                    value="",
                    label="Name of the dataset",
                    placeholder="the name of the file",
                    elem_id="saft-dataset-name",
                )
                self.file = by_name(
                    gr.File(
                        label="Drop a zip file or folders here", file_types=[".zip"], height=190, elem_id="saft-drop"
                    )
                )
                gr.HTML(CHOOSE_FOLDER)
            with gr.Column(scale=3, min_width=300, elem_classes="saft-card"):
                self.dataset = gr.Dropdown([], label="Dataset", elem_id="saft-dataset")
                self.notice = gr.HTML(elem_classes="saft-quiet")
                self.summary = gr.HTML(elem_classes="saft-quiet")
                with gr.Row():
                    self.delete = gr.Button("Delete this dataset", size="sm", visible=False, scale=0, min_width=180)
                    self.confirm = gr.Button("Yes, delete it for good", size="sm", variant="stop", visible=False)
                    self.keep = gr.Button("Keep it", size="sm", visible=False)
        with gr.Column(elem_classes="saft-card", visible=False) as self.pictures:
            self.shown = gr.Dropdown([ALL], value=ALL, label="Pictures of", elem_id="saft-shown-class")
            self.thumbnails = gr.HTML(elem_id="saft-thumbnails")

    def wire(self, tab: gr.Tab) -> None:
        """Connect the events."""
        self.file.upload(
            guarded_stream(self.upload, self.notice),
            [self.name, self.file],
            [self.notice, self.name, self.file, self.dataset],
            **QUIET,
        )
        gr.on(
            [tab.select, self.session.who.change],
            guarded(self.refresh, self.notice),
            [self.dataset],
            [self.notice, self.dataset],
            **QUIET,
        )
        view = [self.summary, self.delete, self.confirm, self.keep, self.pictures, self.shown, self.thumbnails]
        showing = self.dataset.change(
            guarded_stream(self.show, self.notice), [self.dataset], [self.notice, *view], **QUIET
        )
        # Some of each class may still be on their way: they would take the place of the class that was chosen.
        self.shown.input(
            guarded(self.show_class, self.notice),
            [self.dataset, self.shown],
            [self.notice, self.thumbnails],
            cancels=[showing],
            **EVENT,
        )
        asked = [self.delete, self.confirm, self.keep]
        self.delete.click(lambda: self._ask(True), None, asked, **QUIET)
        self.keep.click(lambda: self._ask(False), None, asked, **QUIET)
        self.confirm.click(
            guarded(self.remove, self.notice), [self.dataset], [self.notice, self.dataset, *asked], **QUIET
        )

    async def upload(self, visitor: Visitor, name: str, dropped: str | None) -> AsyncIterator[Updates]:
        """Send the zip on; the drop zone is empty again afterwards, whatever came of it."""
        if dropped is None:
            return
        yield {self.notice: wording.note("Checking every image …")}
        try:
            with self.session.uploads.taken(visitor, [dropped]) as (archive,):
                async with self.session.client(visitor) as client:
                    stem = PurePath(archive.filename).stem
                    with archive.open() as file:
                        dataset = await client.datasets.upload_zip(file, name.strip() or stem)
                    choices = dataset_choices(await some(client.datasets.list()))
        except SaftError as error:
            yield {self.notice: wording.problem(error), self.file: None}
            return
        said = f"{dataset.name}: {wording.count(dataset.image_count, 'image')} in {_classes(dataset)} are ready. "
        yield {
            self.notice: wording.note(said + "Go on to Fine-tune.", "good"),
            self.name: "",
            self.file: None,
            self.dataset: choose(choices, dataset.id),
        }

    async def refresh(self, visitor: Visitor, current: str | None) -> Updates:
        """Read the list of datasets anew."""
        async with self.session.client(visitor) as client:
            choices = dataset_choices(await some(client.datasets.list()))
        empty = "" if choices else wording.note("There are no images yet. Drop a zip file or folders to begin.")
        return {self.dataset: choose(choices, current)} | ({} if choices else {self.notice: empty})

    async def show(self, visitor: Visitor, dataset_id: str | None) -> AsyncIterator[Updates]:
        """Show a dataset: first what is known of it, then its pictures."""
        yield self._ask(False) | {self.delete: gr.Button(visible=bool(dataset_id))}
        if not dataset_id:
            yield {self.summary: "", self.thumbnails: "", self.pictures: gr.Column(visible=False)}
            return
        async with self.session.client(visitor) as client:
            dataset = await client.datasets.get(dataset_id)
            names = [entry.name for entry in dataset.classes]
            yield {
                self.summary: _summary(dataset),
                self.pictures: gr.Column(visible=True),
                self.shown: gr.Dropdown(choices=[ALL, *names], value=ALL),
                self.thumbnails: '<p class="saft-empty">Fetching the pictures …</p>',
            }
            images = await some(client.datasets.images(dataset_id))
            yield {self.thumbnails: await _sample(client, dataset_id, images)}

    async def show_class(self, visitor: Visitor, dataset_id: str, label: str) -> Updates:
        """Show the pictures of one class, or some of each."""
        async with self.session.client(visitor) as client:
            images = await some(client.datasets.images(dataset_id))
            if label == ALL:
                return {self.thumbnails: await _sample(client, dataset_id, images)}
            of_class = [image for image in images if image.label == label]
            pictures = await _fetch(client, dataset_id, of_class[:SHOWN_OF_ONE_CLASS])
        return {self.thumbnails: await asyncio.to_thread(strip, pictures, label)}

    async def remove(self, visitor: Visitor, dataset_id: str) -> Updates:
        """Delete the dataset."""
        async with self.session.client(visitor) as client:
            await client.datasets.delete(dataset_id)
            choices = dataset_choices(await some(client.datasets.list()))
        gone = wording.note("The dataset is deleted. Adapters made from it stay.", "good")
        return self._ask(False) | {self.notice: gone, self.dataset: choose(choices, None)}

    def _ask(self, asking: bool) -> Updates:
        return {
            self.delete: gr.Button(visible=not asking),
            self.confirm: gr.Button(visible=asking),
            self.keep: gr.Button(visible=asking),
        }


def _summary(dataset: Dataset) -> str:
    facts = f"{wording.count(dataset.image_count, 'image')} in {_classes(dataset)}"
    return (
        f'<p class="saft-facts" id="saft-dataset-facts">{facts}</p>'
        + charts.class_bars(dataset.classes)
        + wording.rejected_table(dataset.rejected)
    )


async def _sample(client: AsyncClient, dataset_id: str, images: Sequence[DatasetImage]) -> str:
    """A few pictures of each class."""
    by_class: dict[str, list[DatasetImage]] = defaultdict(list)
    for image in images:
        if len(by_class[image.label]) < SHOWN_PER_CLASS:
            by_class[image.label].append(image)
    shown = sorted(by_class.items())[:SHOWN_CLASSES]
    strips = [(label, await _fetch(client, dataset_id, chosen)) for label, chosen in shown]
    html = await asyncio.to_thread(lambda: "".join(strip(pictures, label) for label, pictures in strips))
    more = len(by_class) - len(shown)
    return html + (f'<p class="saft-hint">Choose a class above to see the other {more}.</p>' if more > 0 else "")


async def _fetch(client: AsyncClient, dataset_id: str, images: Sequence[DatasetImage]) -> list[Picture]:
    """The files of the images, a few at a time."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(image: DatasetImage) -> Picture:
        async with gate:
            content = await client.datasets.image(dataset_id, image.position)
        return Picture(content, f"{image.label}: {image.path}")

    return list(await asyncio.gather(*map(one, images)))
