from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from saft_client import Adapter, Job, Result, UnexpectedAnswer
from saft_client._reading import next_cursor, object_of

JOB: dict[str, Any] = {
    "id": "job_1",
    "name": "icons",
    "status": "running",
    "phase": "training",
    "progress": 1,
    "step": 3,
    "steps": 6,
    "cancel_requested": False,
    "created_at": "2026-01-01T00:00:00Z",
    "losses": [[1, 2.0], [3, 1]],
    "metrics": None,
}
ADAPTER: dict[str, Any] = {
    "id": "ad_1", "name": "icons", "version": 2, "published": False, "classes": ["cat", "dog"], "template": "a {}",
    "density": 0.1, "nnz": 3, "delta_bytes": 9, "strength": 1, "base": "tiny", "base_fingerprint": "f",
    "created_at": "2026-01-01T00:00:00+00:00", "metrics": None,
}  # fmt: skip


def test_json_becomes_a_typed_record() -> None:
    job = Job.read(JOB)
    assert (job.progress, job.losses, job.created_at) == (1.0, ((1, 2.0), (3, 1.0)), datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(job.progress, float)
    assert not job.final


def test_what_a_newer_service_adds_is_only_in_raw() -> None:
    job = Job.read(JOB | {"carbon_grams": 3})
    assert job == Job.read(JOB)
    assert job.raw["carbon_grams"] == 3
    assert "carbon" not in repr(job)


def test_what_is_missing_or_of_another_type_is_named() -> None:
    with pytest.raises(UnexpectedAnswer, match=r"Job\.phase is missing"):
        Job.read({name: value for name, value in JOB.items() if name != "phase"})
    with pytest.raises(UnexpectedAnswer, match=r"Job\.step: 'three' is no int"):
        Job.read(JOB | {"step": "three"})
    with pytest.raises(UnexpectedAnswer, match="JSON object"):
        Job.read(["job_1"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_at", "yesterday"),
        ("created_at", 3),
        ("progress", 10**400),
        ("progress", float("nan")),
        ("progress", True),
        ("step", True),
        ("losses", [[True, 0.1]]),
        ("losses", [[1]]),
        ("losses", 5),
    ],
)
def test_a_value_that_cannot_be_is_unexpected_and_named(name: str, value: object) -> None:
    with pytest.raises(UnexpectedAnswer, match=f"Job.{name}"):
        Job.read(JOB | {name: value})


@pytest.mark.parametrize("text", [b"[" * 100_000, b"9" * 100_000, b"\xff", b"", b"[]", b"null"])
def test_what_is_no_object_of_json_is_unexpected(text: bytes) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        object_of(text, 200)
    assert caught.value.status == 200


@pytest.mark.parametrize("cursor", ["a", 5, ["b"]])
def test_a_cursor_leads_on_once(cursor: object) -> None:
    seen: set[str] = set()
    assert [next_cursor({"next_cursor": step}, seen) for step in ("a", "c", None)] == ["a", "c", None]
    with pytest.raises(UnexpectedAnswer, match="next_cursor"):
        next_cursor({"next_cursor": cursor}, seen)


@pytest.mark.parametrize(("template", "read"), [("a {}", "a {}"), (["a {}", "the {}"], ("a {}", "the {}"))])
def test_a_template_is_a_text_or_several(template: object, read: object) -> None:
    assert Adapter.read(ADAPTER | {"template": template}).template == read


def test_null_where_the_record_has_no_none_is_its_default() -> None:
    adapter = Adapter.read(ADAPTER)
    assert (adapter.metrics, adapter.blocks, adapter.called) == ({}, (), "icons@2")


@pytest.mark.parametrize(
    ("unknown", "threshold", "strange"), [(0.9, 0.8, True), (0.7, 0.8, False), (None, None, False)]
)
def test_a_result_is_strange_above_the_threshold(unknown: float | None, threshold: float | None, strange: bool) -> None:
    answer = {"predictions": [{"label": "cat", "probability": 1.0}], "score": 0.2, "unknown": unknown}
    result = Result.read(answer, name="a.jpg", unknown_threshold=threshold)
    assert (result.name, result.label, result.probability, result.strange) == ("a.jpg", "cat", 1.0, strange)
