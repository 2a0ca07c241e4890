from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from saft_core.clip.loading import load_base
from tests.fixtures.models import IMAGE_SIZE
from tests.fixtures.rest import Site, make_site, ok


def test_a_base_without_a_card_says_what_it_is_and_not_what_it_suits(site: Site, client: TestClient) -> None:
    base = site.services.engine.base
    assert ok(client.get("/base")) == {
        "name": "tiny-vit",
        "fingerprint": base.fingerprint,
        "parameters": base.parameter_count,
        "image_size": IMAGE_SIZE,
        "embedded": False,
        "suits": None,
        "training_defaults": {
            "density": 0.001,
            "learning_rate": 0.01,
            "epochs": 2,
            "batch_size": 8,
            "weight_decay": 0.1,
            "template": "a photo of a {}.",
            "encoders": "both",
        },
    }


def test_an_adapter_names_the_base_that_is_told(site: Site, client: TestClient) -> None:
    assert site.new_adapter(client)["base_fingerprint"] == ok(client.get("/base"))["fingerprint"]


def test_the_embedded_base_says_what_it_suits_and_what_not(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    told = ok(make_site(sessions, load_base(""), tmp_path).new_tenant().get("/base"))
    assert told["embedded"]
    assert told["image_size"] == 160
    assert "photographs of everyday things" in told["suits"]
    assert "not for people" in told["suits"]
    assert told["training_defaults"]["encoders"] == "text"
