"""What OpenAI's own client, unmodified, gets from a real server, and what the call refuses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from saft_core.data.images import decode_image
from saft_core.store.models import Adapter
from tests.fixtures.rest import Site, ok, png, problem
from tests.fixtures.server import Server

TEXTS = ["a cat", "a dog", "an owl"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(client: TestClient, given: Any, model: str = "base", **options: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": model, "input": given} | options)


def vectors(answer: Any) -> Any:
    return np.array([item["embedding"] for item in ok(answer)["data"]], dtype=np.float32)


@pytest.fixture
def served(site: Site) -> Iterator[Server]:
    with Server(site.app) as server:
        yield server


def openai_client(served: Server, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)


def key_of(client: TestClient) -> str:
    return str(client.headers["authorization"]).removeprefix("Bearer ")


# --- OpenAI's client -------------------------------------------------------------------------------------------------


def test_openais_client_gets_the_services_numbers(site: Site, client: TestClient, served: Server) -> None:
    adapter = site.new_adapter(client, values=0.3)
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).where(Adapter.id == adapter["id"]).values(strength=0.5))
    engine = site.services.engine
    api = openai_client(served, key_of(client))
    for model, adapter_id, strength in (("base", None, 1.0), ("icons", adapter["id"], 0.5)):
        expected = engine.embed_texts(adapter_id, TEXTS, strength=strength)
        for options in ({}, {"encoding_format": "float"}, {"dimensions": engine.base.embed_dim, "user": "me"}):
            answer = api.embeddings.create(model=model, input=TEXTS, **options)
            found = np.array([item.embedding for item in answer.data])
            assert found == pytest.approx(expected, abs=1e-6)
            assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
            assert [item.index for item in answer.data] == [0, 1, 2]
            assert (answer.object, answer.data[0].object) == ("list", "embedding")
            assert answer.model == (adapter_id or "base")
            assert answer.usage.prompt_tokens == answer.usage.total_tokens == 3 * 4
    one = api.embeddings.create(model="base", input="a cat")
    assert one.data[0].embedding == pytest.approx(engine.embed_texts(None, ["a cat"])[0], abs=1e-6)


def test_openais_client_raises_its_own_errors_with_our_words(client: TestClient, served: Server) -> None:
    api = openai_client(served, key_of(client))
    with pytest.raises(openai.NotFoundError, match="404 - there is no adapter") as missing:
        api.embeddings.create(model="nobody's", input="a cat")
    assert missing.value.code == "not_found"
    with pytest.raises(openai.AuthenticationError, match="nobody holds this key"):
        openai_client(served, "wrong").embeddings.create(model="base", input="a cat")
    for given, words in (
        ("word " * 40, "reads at most 12"),
        (["a cat", ""], r"input\[1\]: the text is empty"),
        ([[1, 2]], "input"),
    ):
        with pytest.raises(openai.UnprocessableEntityError, match=words):
            api.embeddings.create(model="base", input=given)
    with pytest.raises(openai.UnprocessableEntityError, match="dimensions: the model's embeddings have"):
        api.embeddings.create(model="base", input="a cat", dimensions=3)


def test_openais_client_is_told_to_come_back(site: Site, client: TestClient, served: Server) -> None:
    reader = site.services.image_reader
    with reader.slots(reader.prepared.units), pytest.raises(openai.RateLimitError, match="queue_images") as busy:
        openai_client(served, key_of(client)).embeddings.create(model="base", input=[{"image": b64(png())}])  # type: ignore[arg-type]
    assert (busy.value.code, busy.value.response.headers["retry-after"]) == ("busy", "1")


# --- images ----------------------------------------------------------------------------------------------------------


def test_images_are_embedded_as_classify_has_them(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, values=0.3)
    images = [decode_image(png(seed), site.services.data_limits) for seed in (1, 2)]
    for model, adapter_id in (("base", None), ("icons", adapter["id"])):
        given = [{"image": b64(png(1))}, {"image": "data:image/png;base64," + b64(png(2))}]
        answer = ask(client, given, model)
        assert vectors(answer) == pytest.approx(site.services.engine.embed_images(adapter_id, images), abs=1e-5)
        assert answer.json()["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_texts_and_images_may_stand_in_one_list(client: TestClient) -> None:
    image = {"image": b64(png(1))}
    mixed = vectors(ask(client, ["a cat", image, "a dog", image]))
    assert mixed[[0, 2]] == pytest.approx(vectors(ask(client, ["a cat", "a dog"])), abs=1e-6)
    assert mixed[[1, 3]] == pytest.approx(np.repeat(vectors(ask(client, [image])), 2, axis=0), abs=1e-5)


def test_base64_is_float32_little_endian(client: TestClient) -> None:
    packed = ok(ask(client, TEXTS, encoding_format="base64"))["data"]
    found = np.stack([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in packed])
    assert found == pytest.approx(vectors(ask(client, TEXTS)), abs=0)


def test_a_text_is_taken_as_it_is_and_a_picture_matches_its_own_words_as_in_classify(client: TestClient) -> None:
    image = vectors(ask(client, [{"image": b64(png(1))}]))[0]
    text = vectors(ask(client, ["a photo of a cat."]))[0]
    asked = {"images": [b64(png(1))], "labels": ["cat"], "template": "a photo of a {}."}
    score = ok(client.post("/classify", json=asked))["results"][0]["score"]
    assert float(image @ text) == pytest.approx(score, abs=1e-5)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"input": []}, "invalid_input", "give a text or an image"),
        ({"input": "  "}, "empty_text", "input[0]"),
        ({"input": "x" * 1001}, "text_too_long", "1,001 characters"),
        ({"input": ["a cat", "word " * 11]}, "text_too_long", "input[1]: "),
        ({"input": "<end_of_text>"}, "reserved_text", "Leave it out"),
        ({"input": [1, 2, 3]}, "invalid_request", "input"),
        ({"input": [[1, 2], [3]]}, "invalid_request", "input"),
        ({"input": {"image": "eA=="}}, "invalid_request", "input"),
        ({"input": [{"image": "eA==", "text": "x"}]}, "invalid_request", "text"),
        ({"input": [{"image": "???"}]}, "not_base64", "input[0].image: "),
        ({"input": ["a", {"image": b64(b"text")}]}, "not_an_image", "input[1].image: "),
        ({"input": None}, "invalid_request", "input"),
        ({"input": "a", "encoding_format": "hex"}, "invalid_request", "encoding_format"),
        ({"input": "a", "dimensions": 1}, "invalid_input", "dimensions"),
        ({"input": "a", "modle": "base"}, "invalid_request", "modle"),
    ],
)
def test_what_cannot_be_embedded_says_why(client: TestClient, body: dict[str, Any], code: str, words: str) -> None:
    answer = client.post("/v1/embeddings", json={"model": "base"} | body)
    assert words in problem(answer, 422, code)["detail"]


def test_the_limits_are_those_of_classify(site: Site) -> None:
    client = site.with_limits(max_classify_images=1, max_classify_labels=2).new_tenant()
    image = {"image": b64(png())}
    ok(ask(client, ["a", "b", image]))
    assert "max_classify_labels" in problem(ask(client, ["a"] * 3), 422, "invalid_input")["detail"]
    assert "max_classify_images" in problem(ask(client, [image] * 2), 422, "invalid_input")["detail"]


def test_another_type_of_body_is_refused_before_it_is_read(client: TestClient) -> None:
    problem(client.post("/v1/embeddings", files={"input": ("a", b"x" * 100)}), 415, "unsupported_media_type")
    problem(client.post("/v1/embeddings", json={"model": "base", "input": "a"}, headers={"authorization": ""}), 401,
            "unauthorized")  # fmt: skip


def test_the_adapters_of_others_are_not_there(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    other = site.new_tenant("other")
    for name in (adapter["id"], "icons"):
        ok(ask(client, "a cat", name))
        problem(ask(other, "a cat", name), 404, "not_found")


def test_a_long_word_within_the_limit_is_told_in_the_end(client: TestClient) -> None:
    problem(ask(client, ["a" * 1000] * 1000), 422, "text_too_long")
