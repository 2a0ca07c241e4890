"""Tab 5: collections of images, searched by words or by an image."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import gradio as gr

from saft_client import ApiError, AsyncClient, Collection, Match, SaftError
from ui import wording
from ui.inputs import by_name
from ui.pictures import Picture, strip
from ui.session import BASE, EVENT, QUIET, Session, Updates, choose, guarded, guarded_stream, some
from ui.tabs.try_out import adapter_choices
from ui.uploads import Upload
from ui.visitors import Visitor

BASE_CHOICE = ("base model, not adapted", BASE)
MAX_RESULTS = 50
PARALLEL = 8


def collection_choices(collections: Sequence[Collection]) -> list[tuple[str, str]]:
    """What a drop-down of collections shows."""
    return [(f"{entry.name} · {wording.count(entry.image_count, 'image')}", entry.id) for entry in collections]


class SearchTab:
    """Find pictures."""

    def __init__(self, session: Session) -> None:
        self.session = session
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_classes="saft-card"):
                self.collection = gr.Dropdown([], label="Collection", elem_id="saft-collection")
                with gr.Accordion("Make a collection", open=True) as self.maker:
                    self.name = gr.Textbox(
                        value="", label="Name", placeholder="holiday pictures", elem_id="saft-collection-name"
                    )
                    self.create = gr.Button("Make it", size="sm", elem_id="saft-create-collection")
                self.files = by_name(
                    gr.File(
                        label="Add images to the collection",
                        file_count="multiple",
                        file_types=["image"],
                        height=190,
                        elem_id="saft-collection-files",
                    )
                )
            with gr.Column(scale=3, min_width=300, elem_classes="saft-card"):
                with gr.Row():
                    self.adapter = gr.Dropdown([BASE_CHOICE], value=BASE, label="Model", elem_id="saft-search-adapter")
                    self.top = gr.Slider(1, MAX_RESULTS, value=12, step=1, label="Results")
                self.text = gr.Textbox(
                    value="", label="Search for", placeholder="a photo of a red bicycle", elem_id="saft-search-text"
                )
                with gr.Accordion("Search by an image instead", open=False):
                    self.image = by_name(
                        gr.Image(label="Image to search by", sources=["upload", "clipboard"], height=200)
                    )
                self.go = gr.Button("Search", variant="primary", elem_id="saft-search-go")
        self.notice = gr.HTML(elem_classes="saft-quiet")
        self.results = gr.HTML(elem_id="saft-results")

    def wire(self, tab: gr.Tab) -> None:
        """Connect the events."""
        lists = [self.notice, self.collection, self.adapter, self.maker]
        gr.on(
            [tab.select, self.session.who.change],
            guarded(self.refresh, self.notice),
            [self.collection, self.adapter],
            lists,
            **QUIET,
        )
        gr.on(
            [self.create.click, self.name.submit],
            guarded(self.make, self.notice),
            [self.name],
            [self.notice, self.collection, self.name, self.maker],
            **EVENT,
        )
        self.files.upload(
            guarded_stream(self.add, self.notice),
            [self.collection, self.files],
            [self.notice, self.collection, self.files],
            **QUIET,
        )
        gr.on(
            [self.go.click, self.text.submit],
            guarded(self.search, self.notice),
            [self.collection, self.adapter, self.text, self.image, self.top],
            [self.notice, self.results],
            **EVENT,
        )

    async def refresh(self, visitor: Visitor, collection: str | None, adapter: str | None) -> Updates:
        """Read the lists anew."""
        async with self.session.client(visitor) as client:
            collections = await some(client.collections.list())
            adapters = await some(client.adapters.list())
        chosen = adapter if adapter and adapter != BASE else None
        newest = adapters[0].id if adapters else BASE
        return {
            self.collection: choose(collection_choices(collections), collection),
            self.adapter: choose([*adapter_choices(adapters), BASE_CHOICE], chosen, newest),
            self.maker: gr.Accordion(open=not collections),
        }

    async def make(self, visitor: Visitor, name: str) -> Updates:
        """Make an empty collection."""
        if not name.strip():
            return {self.notice: wording.note("Give the collection a name.", "bad")}
        async with self.session.client(visitor) as client:
            made = await client.collections.create(name.strip())
            choices = collection_choices(await some(client.collections.list()))
        return {
            self.notice: wording.note(f"{made.name} is ready. Now add images to it.", "good"),
            self.collection: choose(choices, made.id),
            self.name: "",
            self.maker: gr.Accordion(open=False),
        }

    async def add(
        self, visitor: Visitor, collection_id: str | None, dropped: list[str] | None
    ) -> AsyncIterator[Updates]:
        """Send the images on; the drop zone is empty again afterwards."""
        try:
            with self.session.uploads.taken(visitor, dropped or []) as files:
                if not collection_id:
                    raise ApiError("no_collection", "Make a collection first.")
                yield {self.notice: wording.note(f"Adding {wording.count(len(files), 'image')} …")}
                async with self.session.client(visitor) as client:
                    said = await _add(client, collection_id, files)
                    choices = collection_choices(await some(client.collections.list()))
            yield {self.notice: said, self.collection: choose(choices, collection_id), self.files: None}
        except SaftError as error:
            yield {self.notice: wording.problem(error), self.files: None}

    async def search(
        self, visitor: Visitor, collection_id: str | None, adapter: str, text: str, image: str | None, top: float
    ) -> Updates:
        """Find the pictures and show them, best first."""
        if not collection_id:
            return {self.notice: wording.note("Make a collection and add images to it first.", "bad")}
        if not text.strip() and not image:
            return {self.notice: wording.note("Say in words what to look for, or choose an image.", "bad")}
        words = text.strip() or None
        content = None if words else await self.session.uploads.read(visitor, str(image))
        async with self.session.client(visitor) as client:
            found = client.retrieve(collection_id, words, image=content, adapter=adapter, top_k=int(top))
            matches = [match async for match in found]
            pictures = await _fetch(client, collection_id, matches)
        if not pictures:
            return {self.notice: wording.note("This collection has no images yet."), self.results: ""}
        return {self.notice: "", self.results: await asyncio.to_thread(strip, pictures, "Best first")}


async def _add(client: AsyncClient, collection_id: str, files: Sequence[Upload]) -> str:
    """Add the files; returns what to say."""
    with ExitStack() as opened:
        found = await client.collections.add(
            collection_id, [(file.filename, opened.enter_context(file.open())) for file in files]
        )
    added = len(found.images)
    return wording.note(
        f"Added {wording.count(added, 'image')}.", "good" if added else "bad", wording.rejected_table(found.rejected)
    )


async def _fetch(client: AsyncClient, collection_id: str, matches: Sequence[Match]) -> list[Picture]:
    """The files of the matches, in their order, a few requests at a time."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(rank: int, match: Match) -> Picture:
        async with gate:
            content = await client.collections.image(collection_id, match.image_id)
        return Picture(content, f"{rank}. {match.filename}", f"{rank} · {match.score:.3f}")

    return list(await asyncio.gather(*(one(rank, match) for rank, match in enumerate(matches, 1))))
