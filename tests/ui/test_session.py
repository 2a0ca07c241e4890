from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import fastapi
import gradio as gr
import pytest

from saft_client import ApiError
from ui.session import MISHAP, Updates, choose, guarded, guarded_stream
from ui.visitors import Visitor


@pytest.fixture
def notice() -> gr.HTML:
    return gr.HTML()


VISITOR = Visitor("somebody's key")


def request() -> gr.Request:
    """A call as it comes from the guard."""
    return gr.Request(fastapi.Request({"type": "http", "state": {"visitor": VISITOR}}))


async def run(handler: Callable[..., Awaitable[Updates]], *values: Any) -> Updates:
    return await handler(request(), *values)


def test_a_handler_is_told_who_calls(notice: gr.HTML) -> None:
    async def handler(visitor: Visitor, value: str) -> Updates:
        return {notice: (visitor, value)}

    assert asyncio.run(run(guarded(handler, notice), "value")) == {notice: (VISITOR, "value")}


def test_the_key_is_not_shown_where_a_visitor_is() -> None:
    assert "somebody" not in repr(VISITOR) + VISITOR.tag


def test_an_api_error_is_shown(notice: gr.HTML) -> None:
    async def handler(_: Visitor) -> Updates:
        raise ApiError("name_taken", "this name is in use")

    assert "This name is in use" in asyncio.run(run(guarded(handler, notice)))[notice]


def test_a_mistake_of_the_page_is_logged_and_its_details_are_not_shown(
    notice: gr.HTML, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_: Visitor) -> Updates:
        raise KeyError("secret detail")

    with caplog.at_level(logging.ERROR):
        said = asyncio.run(run(guarded(handler, notice)))[notice]
    assert MISHAP in said
    assert "secret" not in said
    assert "secret detail" in caplog.text


def test_what_a_stream_has_shown_stays_when_it_fails(notice: gr.HTML) -> None:
    async def handler(_: Visitor) -> AsyncIterator[Updates]:
        yield {notice: "first"}
        raise ApiError("timeout", "too slow")

    async def collect() -> list[Any]:
        return [updates[notice] async for updates in guarded_stream(handler, notice)(request())]

    first, last = asyncio.run(collect())
    assert first == "first"
    assert "Too slow" in last


@pytest.mark.parametrize(
    ("current", "fallback", "chosen"),
    [("b", None, "b"), ("gone", "b", "b"), ("gone", "gone too", "a"), (None, None, "a")],
)
def test_a_choice_is_kept_while_it_exists(current: str | None, fallback: str | None, chosen: str) -> None:
    assert choose([("A", "a"), ("B", "b")], current, fallback).value == chosen


def test_nothing_to_choose_is_no_choice() -> None:
    assert choose([], "a").value is None
