"""The Hugging Face hub, asked in a way that fails in seconds where there is no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session

TIMEOUT_SECONDS = 5.0


@contextmanager
def reached() -> Iterator[None]:
    """A context in which what is not in the local cache fails at once, with advice, if the hub does not answer.

    The hub's client would try again for a minute, for each file and with each name that the file may have.
    """
    before = constants.HF_HUB_OFFLINE
    answers = not before and _answers()
    constants.HF_HUB_OFFLINE = not answers
    try:
        yield
    except OSError as error:
        raise error if answers else ConnectionError(_advice()) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_SECONDS)
    except Exception:  # the kind depends on the HTTP library that the hub's client uses
        return False
    return True


def _advice() -> str:
    return (
        f"{constants.ENDPOINT} does not answer and the cache {constants.HF_HUB_CACHE} lacks a part of it; connect this"
        " machine, copy the cache of one that has it, or give a checkpoint file or folder"
    )
