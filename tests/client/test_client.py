"""The whole contract by the Python client, before a real server; its asyncio twin runs the same flows."""

from __future__ import annotations

import asyncio
import inspect
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import saft_client
from saft_client import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Unauthorized,
)
from saft_client import _endpoints as endpoints
from saft_client import _files as files
from saft_client import _inference as inference
from saft_client._flow import Resource, call, listing
from tests.fixtures.client import Faulty, written
from tests.fixtures.page import key_of
from tests.fixtures.rest import ADMIN_KEY, Site, labelled, png, zipped
from tests.fixtures.server import Server

PARTS = ("datasets", "adapters", "jobs", "collections", "keys", "tenants")


def webp_size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data), formats=["WEBP"]).size


def test_a_folder_and_a_zip_of_it_make_the_same_dataset(saft: Client, tmp_path: Path) -> None:
    folder = written(tmp_path / "pets", labelled() | {"cat/notes.txt": b"no image"})
    by_folder = saft.datasets.upload_folder(folder)
    archive = tmp_path / "pets.zip"
    archive.write_bytes(zipped(labelled() | {"cat/notes.txt": b"no image"}))
    by_path, by_file = (
        saft.datasets.upload_zip(archive),
        saft.datasets.upload_zip(io.BytesIO(archive.read_bytes()), "x"),
    )
    assert [made.name for made in (by_folder, by_path, by_file)] == ["pets", "pets", "x"]
    by_name = saft.datasets.upload_files("y", ((path, data) for path, data in labelled().items()))
    assert (by_name.classes, by_name.rejected) == (by_folder.classes, ())
    assert by_folder.classes == by_path.classes == by_file.classes
    assert [(entry.name, entry.count) for entry in by_folder.classes] == [("cat", 2), ("dog", 2)]
    assert [entry.path for entry in by_folder.rejected] == ["cat/notes.txt"]
    images = list(saft.datasets.images(by_folder))
    assert [image.path for image in images] == sorted(labelled())
    assert saft.datasets.image(by_folder, 0) == labelled()[images[0].path]
    assert webp_size(saft.datasets.thumbnail(by_folder, 0)) == (40, 40)
    assert webp_size(saft.datasets.thumbnail(by_folder, 0, size=32)) == (32, 32)
    assert saft.datasets.get(by_folder.id) == by_folder


def test_a_dataset_is_revised_without_uploading_it_again(saft: Client, tmp_path: Path) -> None:
    before = saft.datasets.upload_folder(written(tmp_path / "pets", labelled({"cat": 3, "dog": 3})))
    cats = [image.position for image in saft.datasets.images(before) if image.label == "cat"]
    fewer = saft.datasets.revise(before, remove=cats[:1], name="fewer")
    assert (fewer.name, fewer.image_count) == ("fewer", 5)
    changed = saft.datasets.revise(before, relabel={cats[0]: "dog"}, add=[("dog/new.png", png(99))])
    assert [(entry.name, entry.count) for entry in changed.classes] == [("cat", 2), ("dog", 5)]
    assert saft.datasets.get(before).image_count == 6


def test_an_upload_that_is_refused_names_the_files(saft: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        saft.datasets.upload_folder(written(tmp_path / "x", {"cat/a.png": b"no", "cat/b.png": b"no"}))
    assert {entry.path for entry in caught.value.rejected} >= {"cat/a.png", "cat/b.png"}


def test_lists_go_on_from_page_to_page(saft: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "PAGE_ITEMS", 2)
    made = [saft.collections.create(f"c{number}") for number in range(5)]
    assert list(saft.collections.list()) == made[::-1]
    first = saft.collections.list()
    assert next(first) == made[-1]
    saft.collections.delete(made[0])
    assert list(saft.collections.list()) == made[:0:-1]


def test_many_images_are_answered_in_their_order_in_several_requests(
    saft: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [png(number) for number in range(5)]
    alone = [saft.classify(picture, labels=["cat", "dog"])[0].score for picture in pictures]
    assert len(set(alone)) == 5
    path = tmp_path / "two.png"
    path.write_bytes(pictures[2])
    mixed: list[saft_client.Image] = [pictures[0], ("one.png", pictures[1]), path, io.BytesIO(pictures[3]), pictures[4]]
    monkeypatch.setattr(files, "BATCH_FILES", 2)
    found = saft.classify(iter(mixed), labels=["cat", "dog"], top_k=1)
    assert [result.name for result in found] == ["image-0", "one.png", "two.png", "image-3", "image-4"]
    assert [result.score for result in found] == pytest.approx(alone, abs=1e-5)
    assert {len(result.predictions) for result in found} == {1}
    assert saft.classify([], labels=["cat", "dog"]) == []


def test_a_service_that_takes_fewer_at_once_gets_fewer_at_once(site: Site, client: TestClient) -> None:
    small = site.with_limits(max_classify_images=2)
    pictures = [png(number) for number in range(5)]
    with Server(small.app) as server, Client(server.url, key_of(client)) as saft:
        results = saft.classify(pictures, labels=["cat", "dog"])
        assert [result.name for result in results] == [f"image-{number}" for number in range(5)]
        with pytest.raises(InvalidRequest, match="labels"):
            saft.classify(pictures)


def test_an_image_that_cannot_be_read_fails_the_call_or_has_an_error_in_its_place(saft: Client) -> None:
    images: list[saft_client.Image] = [png(0), ("bad.png", b"no picture"), png(1)]
    with pytest.raises(InvalidRequest, match=r"bad\.png"):
        saft.classify(images, labels=["cat"])
    good, bad, other = saft.classify(images, labels=["cat", "[x"], template=["a {}", "the {}"], on_error="skip")
    assert (good.error, other.error, bad.label, bad.probability) == (None, None, None, None)
    assert bad.error is not None
    assert bad.error.code == "not_an_image"


def test_a_search_has_all_options_and_goes_from_page_to_page(saft: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = saft.collections.create("shop")
    pictures = [(f"{number}.png", png(number)) for number in range(7)]
    metadata: list[dict[str, Any] | None] = [{"number": number, "tags": ["even"]} for number in range(7)]
    metadata[3] = None
    monkeypatch.setattr(files, "BATCH_FILES", 3)
    added = saft.collections.add(
        shop, [*pictures[:3], ("bad.png", b"no"), *pictures[3:]], metadata=[*metadata[:3], {}, *metadata[3:]]
    )
    assert [image.filename for image in added.images] == [name for name, _ in pictures]
    assert [entry.path for entry in added.rejected] == ["bad.png"]
    assert {image.filename: image.metadata for image in saft.collections.images(shop)}["2.png"] == metadata[2]
    everything = list(saft.retrieve(shop, "a cat", top_k=None))
    assert len(everything) == 7
    monkeypatch.setattr(inference, "MATCHES_A_PAGE", 2)
    assert list(saft.retrieve(shop, "a cat", top_k=None)) == everything
    assert list(saft.retrieve(shop, "a cat", top_k=3)) == everything[:3]
    (best,) = saft.retrieve(shop, image=pictures[5], top_k=1)
    assert best.filename == "5.png"
    assert best.score == pytest.approx(1, abs=1e-4)
    narrowed = saft.retrieve(
        shop, "a cat", image_id=best.image_id, text_weight=0.3, negative_text="a dog", min_score=-1,
        filter={"number": [1, 2, 5]}, distinct=False, strength=1.0, adapter="base",
    )  # fmt: skip
    assert {match.filename for match in narrowed} == {"1.png", "2.png"}
    assert saft.collections.image(shop, best.image_id) == pictures[5][1]
    assert webp_size(saft.collections.thumbnail(shop, best.image_id, size=32)) == (32, 32)
    changed = saft.collections.set_metadata(shop, best.image_id, {"number": 9})
    assert changed.metadata == {"number": 9}
    saft.collections.delete_image(shop, changed)
    assert saft.collections.get(shop).image_count == 6


def test_a_dataset_is_searched_as_a_collection_is(saft: Client) -> None:
    dataset = saft.datasets.upload_files("pets", sorted(labelled().items()))
    found = list(saft.retrieve(dataset, "a cat", filter={"label": "cat"}, top_k=None))
    assert {match.metadata["label"] for match in found} == {"cat"}
    assert {match.filename for match in found} == {name for name in labelled() if name.startswith("cat/")}
    assert list(saft.retrieve(dataset.id, "a cat", filter={"label": "cat"}, top_k=None)) == found
    revision = saft.datasets.revise(dataset, add=[("cat/9.png", png(99))])
    assert (revision.revision_of, revision.image_count) == (dataset.id, dataset.image_count + 1)


def test_images_of_which_none_can_be_used_and_metadata_that_does_not_fit_are_refused(saft: Client) -> None:
    shop = saft.collections.create("shop")
    with pytest.raises(InvalidRequest) as caught:
        saft.collections.add(shop, [b"no", b"no either"])
    assert (caught.value.code, len(caught.value.rejected)) == ("no_images", 2)
    none: list[dict[str, str]] = []
    for entries in (none, [*none, {}, {}]):
        with pytest.raises(ValueError, match="metadata"):
            saft.collections.add(shop, [png(0)], metadata=entries)


def test_an_adapter_from_training_to_its_end(site: Site, saft: Client, tmp_path: Path) -> None:
    dataset = saft.datasets.upload_folder(written(tmp_path / "pets"))
    job = saft.adapters.train("pets", dataset, config={"epochs": 2, "seed": 1})
    assert (job.status, job.config["epochs"], job.config["seed"]) == ("queued", 2, 1)
    site.work(job.id)
    first = saft.adapters.get("pets")
    assert (first.job_id, first.classes, first.version) == (job.id, ("cat", "dog"), 1)
    again = saft.adapters.retrain(first, publish="manual")
    assert again.config == job.config
    site.work(again.id, values=0.1)
    assert [adapter.version for adapter in saft.adapters.list(name="pets")] == [2, 1]
    (second,) = saft.adapters.list(published=False)
    assert second.called == "pets@2"
    assert saft.adapters.compare(first, second).images == 0
    assert saft.adapters.compare(first, second, dataset=dataset).images == 4
    assert saft.adapters.publish(second).published
    assert list(saft.adapters.mistakes(second)) == []
    assert saft.classify(png(0), second)[0].label in ("cat", "dog")
    saft.adapters.delete(first)
    with pytest.raises(NotFound):
        saft.adapters.get(first)
    saft.datasets.delete(dataset)
    with pytest.raises(Conflict):
        saft.adapters.retrain("pets")


def test_an_adapter_goes_out_and_in_as_a_file(site: Site, client: TestClient, saft: Client, tmp_path: Path) -> None:
    site.new_adapter(client, "pets")
    path = saft.adapters.download_delta("pets", tmp_path / "copy.saft")
    assert path.stat().st_size == saft.adapters.get("pets").delta_bytes
    assert saft.adapters.import_delta(path).name == "copy"
    assert saft.adapters.import_delta(path.read_bytes(), "other", publish="manual").published is False


def test_what_cannot_be_downloaded_leaves_no_file(site: Site, client: TestClient, saft: Client, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    site.new_adapter(client, "pets")
    with pytest.raises(NotFound):
        saft.adapters.download_delta("missing", folder / "delta")
    with pytest.raises(Conflict, match="export_unsupported"):  # the base of the tests was made by hand
        saft.adapters.export("pets", folder / "pets.onnx", format="onnx", strength=0.5)
    cut = Faulty(site.app, "/adapters/pets/delta", lost=1)
    with Server(cut) as server, Client(server.url, key_of(client)) as unlucky, pytest.raises(ConnectionFailed):
        unlucky.adapters.download_delta("pets", folder / "delta")
    assert list(folder.iterdir()) == []


def test_the_base_is_told(site: Site, saft: Client) -> None:
    base = saft.base()
    assert (base.name, base.fingerprint) == ("tiny-vit", site.services.engine.base.fingerprint)
    assert (base.embedded, base.suits, base.training_defaults["epochs"]) == (False, None, 2)


def test_the_example_is_made_once(site: Site, saft: Client) -> None:
    first = saft.example()  # a training, since the base is another one
    assert (first.adapter_id, site.published) == (None, [first.job_id])
    assert first.job_id is not None
    adapter = site.work(first.job_id)
    assert saft.example() == saft_client.Example(first.dataset_id, first.test_dataset_id, adapter, first.job_id)
    assert saft.datasets.get(first.test_dataset_id).image_count == 126


def test_keys_usage_and_the_log_of_a_tenant(saft: Client) -> None:
    key = saft.keys.create("laptop")
    assert saft.keys.rename(key, "desk").name == "desk"
    assert next(iter(saft.keys.list())).name == "desk"
    saft.collections.create("pictures")
    account = saft.usage()
    assert (account.usage.images, account.quota.images) == (0, None)
    saft.keys.revoke(key)
    assert next(iter(saft.audit())).action == "key.deleted"


def test_the_admin_makes_limits_and_removes_tenants(site: Site, tmp_path: Path) -> None:
    with Server(site.app) as server, Client(server.url, ADMIN_KEY) as admin:
        made = admin.tenants.create("me")
        assert admin.tenants.set_quota(made, images=3) == saft_client.Quota(images=3)
        shown = admin.tenants.get(made)
        assert (shown.quota.images, shown.usage and shown.usage.images) == (3, 0)
        with Client(server.url, made.api_key) as tenant, pytest.raises(QuotaExceeded) as caught:
            tenant.datasets.upload_folder(written(tmp_path / "pets"))
        assert caught.value.extra["quota"] == "images"
        second = admin.tenants.create_key(made, "second")
        admin.tenants.revoke_key(made, second)
        assert len(list(admin.tenants.keys(made))) == 1
        assert {event.action for event in admin.tenants.audit(made)} >= {"key.created", "key.deleted"}
        admin.tenants.delete(made)
        assert next(iter(admin.tenants.list())).deleted_at is not None
        with pytest.raises(Unauthorized), Client(server.url, "nobody's") as stranger:
            stranger.check_key()


def test_asyncio_does_the_same(site: Site, client: TestClient, tmp_path: Path) -> None:
    async def main(url: str) -> list[Any]:
        async with AsyncClient(url, key_of(client)) as saft:
            dataset = await saft.datasets.upload_folder(written(tmp_path / "pets"))
            job = await saft.adapters.train("pets", dataset)
            site.work(job.id)
            assert (await saft.jobs.wait(job)).status == "succeeded"
            results, shop = await asyncio.gather(saft.classify([png(0), png(1)], "pets"), saft.collections.create("x"))
            await saft.collections.add(shop, [png(0)])
            matches = [match async for match in saft.retrieve(shop, "a cat", top_k=None)]
            path = await saft.adapters.download_delta("pets", tmp_path / "delta")
            with pytest.raises(NotFound):
                await saft.datasets.get("ds_missing")
            return [len(results), len(matches), path.stat().st_size > 0, job.id == (await saft.jobs.get(job)).id]

    with Server(site.app) as server:
        assert asyncio.run(main(server.url)) == [2, 1, True, True]


def test_every_method_is_documented_and_has_the_signature_that_is_written(saft: Client) -> None:
    for part in (saft, *(getattr(saft, name) for name in PARTS)):
        assert isinstance(part, Resource)
        names = [name for name, member in inspect.getmembers(type(part)) if isinstance(member, call | listing)]
        assert names
        for name in names:
            method = getattr(part, name)
            assert method.__doc__
            assert "self" not in inspect.signature(method).parameters
