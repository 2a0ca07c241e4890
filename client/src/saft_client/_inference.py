"""Classify images, and search collections and datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from saft_client._endpoints import Endpoints
from saft_client._files import Image, Named, batches, in_base64
from saft_client._flow import D, Flow, Items, Yield, call, listing
from saft_client._reading import list_of, next_cursor
from saft_client._requests import WORK_SECONDS, Request, given, id_of
from saft_client.errors import ApiError, UnexpectedAnswer
from saft_client.records import Adapter, Collection, Dataset, Match, Result

BASE = "base"
DATASET_ID = "ds_"
MATCHES_A_PAGE = 100

Value = str | int | float | bool | None


class Inference(Endpoints[D]):
    """The methods that ask an adapter or the base."""

    @call
    def classify(
        self,
        images: Image | Iterable[Image],
        adapter: Adapter | str = BASE,
        *,
        labels: Sequence[str] | None = None,
        template: str | Sequence[str] | None = None,
        top_k: int | None = None,
        strength: float | None = None,
        on_error: Literal["fail", "skip"] = "fail",
    ) -> Flow[list[Result]]:
        """What is on each of the images, in their order.

        images: paths, bytes, files open for reading bytes, or (name, any of these); any number, sent in as many
        requests as it takes. labels: left out, the adapter's own classes; the base has none and needs some. on_error:
        what an image that cannot be read does: "fail" raises InvalidRequest, "skip" puts an `error` in its place.
        """
        form = given(
            {
                "adapter": id_of(adapter),
                "labels": None if labels is None else json.dumps(list(labels)),
                "template": template if template is None or isinstance(template, str) else json.dumps(list(template)),
                "top_k": None if top_k is None else str(top_k),
                "strength": None if strength is None else str(strength),
                "on_error": on_error,
            }
        )
        results: list[Result] = []
        for batch in batches(images):
            results += yield from self._classified(form, batch)
        return results

    def _classified(self, form: Mapping[str, str], files: Sequence[Named]) -> Flow[list[Result]]:
        """The results of some files; in halves where the service finds them too many at once."""
        request = Request("POST", "/classify", form=form, files=[file.part("files") for file in files])
        try:
            answer = yield from self._json(request)
        except ApiError as error:
            if len(files) == 1 or not _too_many(error):
                raise
            half = len(files) // 2
            first = yield from self._classified(form, files[:half])
            return first + (yield from self._classified(form, files[half:]))
        more = {"unknown_threshold": answer.get("unknown_threshold")}
        results = list_of(answer, "results")
        if len(results) != len(files):
            raise UnexpectedAnswer(f"results: {len(results)} for {len(files)} images")
        return [Result.read(result, name=file.name, **more) for file, result in zip(files, results, strict=True)]

    @listing
    def retrieve(
        self,
        images: Collection | Dataset | str,
        text: str | None = None,
        *,
        image: Image | None = None,
        image_id: str | None = None,
        adapter: Adapter | str = BASE,
        text_weight: float | None = None,
        negative_text: str | None = None,
        min_score: float | None = None,
        filter: Mapping[str, Value | Sequence[Value]] | None = None,  # noqa: A002 (as the service calls it)
        distinct: bool = False,
        top_k: int | None = 10,
        strength: float | None = None,
    ) -> Items[Match]:
        """The images of a collection or dataset that fit a text, an image, or both; best first.

        image: a file; image_id: one of the images, of a dataset its position as text. text_weight: of the text beside
        an image, 0.5 if left out. negative_text: keep away from it. filter: only images with such metadata. distinct:
        of near-duplicates the best one. top_k: so many at most, or None for all that there are, page by page as they
        are used.
        """
        body = given(
            {
                "adapter": id_of(adapter),
                "dataset_id" if id_of(images).startswith(DATASET_ID) else "collection_id": id_of(images),
                "text": text,
                "image": None if image is None else in_base64(image),
                "image_id": image_id,
                "text_weight": text_weight,
                "negative_text": negative_text,
                "min_score": min_score,
                "filter": None if filter is None else dict(filter),
                "strength": strength,
            }
        ) | {"distinct": distinct}
        return self._found(body, top_k)

    def _found(self, body: Mapping[str, Any], top_k: int | None) -> Items[Match]:
        """So many matches, or all, page by page."""
        seen: set[str] = set()
        while True:
            size = MATCHES_A_PAGE if top_k is None else min(top_k, MATCHES_A_PAGE)
            asked = {**body, "top_k": size}
            page = yield from self._json(Request("POST", "/retrieve", json=asked, answer_seconds=WORK_SECONDS))
            matches = [Match.read(match) for match in list_of(page, "results")]
            yield from _given(matches)
            top_k = None if top_k is None else top_k - len(matches)
            cursor = next_cursor(page, seen)
            if cursor is None or (top_k is not None and top_k <= 0):
                return
            body = {**body, "cursor": cursor}


def _given(matches: Iterable[Match]) -> Iterator[Yield[Match]]:
    for match in matches:
        yield Yield(match)


def _too_many(error: ApiError) -> bool:
    """Whether fewer images might pass."""
    too_large = error.status == 413 or error.code in ("deadline_passed", "too_many_files")
    return too_large or "max_classify_images" in error.extra
