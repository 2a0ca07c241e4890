"""Numbers, states and errors in plain words, as HTML that is safe to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from saft_client import Job, Rejected, SaftError

MAX_REJECTED_ROWS = 200

_NEXT_STEPS = {
    "no_key": "Open the Key tab and paste your key, or make a new one.",
    "unauthorized": "Look at the Key tab: the key may have been cut short when it was copied.",
    "no_connection": "See whether it is still running, then try again.",
    "timeout": "Try again in a moment; your data is safe.",
    "unavailable": "Try again in a moment; your data is safe.",
    "not_found": "It may have been deleted. Reload the page to see what is there.",
}


def note(text: str, kind: str = "info", more: str = "") -> str:
    """A box with a message. `text` is escaped, `more` is HTML; `kind` is info, good or bad."""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="saft-note saft-{kind}" role="{role}"><p>{escape(text)}</p>{more}</div>'


def problem(error: SaftError) -> str:
    """What went wrong, what to do next, and which files were refused."""
    step = _NEXT_STEPS.get(error.code, "")
    more = f"<p>{escape(step)}</p>" if step else ""
    return note(sentence(error.detail), "bad", more + rejected_table(error.rejected))


def sentence(detail: str) -> str:
    """The service's words with a capital and a full stop; a field's name at the beginning stays as it is."""
    first = detail.split(maxsplit=1)[0] if detail.split() else ""
    start = detail[:1].upper() + detail[1:] if first.isalpha() else detail
    return start if start.endswith((".", "!", "?")) else f"{start}."


def rejected_table(rejected: Sequence[Rejected]) -> str:
    """The files that were left out, with the reasons; nothing where there are none."""
    if not rejected:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(entry.path)}</code></td><td>{escape(entry.reason)}</td></tr>"
        for entry in rejected[:MAX_REJECTED_ROWS]
    )
    rest = len(rejected) - MAX_REJECTED_ROWS
    if rest > 0:
        rows += f'<tr><td colspan="2">and {rest} more</td></tr>'
    return (
        f'<details class="saft-rejected" open><summary>{count(len(rejected), "file")} left out</summary>'
        f'<table class="saft-table"><thead><tr><th>File</th><th>Why</th></tr></thead><tbody>{rows}</tbody></table>'
        "</details>"
    )


def count(number: int, noun: str) -> str:
    """`1 image`, `160 images`, `2 classes`."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def percent(share: float | None, digits: int = 0) -> str:
    """`63%`; a dash where nothing was measured."""
    return "–" if share is None else f"{share:.{digits}%}"


def size(number: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def duration(seconds: float) -> str:
    """`about 2 minutes`: how people say it."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 5) * 5} seconds"
    if seconds < 3300:
        return f"about {count(max(1, round(seconds / 60)), 'minute')}"
    return f"about {count(max(1, round(seconds / 3600)), 'hour')}"


_PHASES = {
    "queued": "Waiting for a free worker",
    "preparing": "Preparing the images",
    "selecting": "Choosing which parameters may change",
    "training": "Training",
    "refitting": "Training again on all images",
    "evaluating": "Measuring on images it is not trained on",
}

_ENDS = {"succeeded": "Done", "failed": "Failed", "cancelled": "Cancelled"}


def verdict(metrics: Mapping[str, Any]) -> str:
    """Whether the adapter is better than the base model, with counts; nothing where nothing was measured."""
    after, before, images = (metrics.get(name) for name in ("right", "zero_shot_right", "test_images"))
    if not (isinstance(after, int) and isinstance(before, int) and isinstance(images, int)):
        return ""
    counts = f"{after:,} of {images:,} right, was {before:,}"
    if metrics.get("verdict") == "better":
        return f"Better: {counts}."
    if metrics.get("verdict") == "worse":
        return f"Worse: {counts}. The base model is the better choice; try a lower learning rate or more images."
    if metrics.get("too_few_to_tell"):
        return f"Too few to tell: {counts}. A larger test dataset would tell."
    if after > before:
        return f"Perhaps better: {counts}. So few images may do that by chance; a larger test dataset would tell."
    return f"No better: {counts}. More or clearer training images may help."


def phase(job: Job) -> str:
    """Where the job stands."""
    if job.final:
        return _ENDS[job.status]
    if job.cancel_requested:
        return "Stopping"
    return _PHASES.get(job.phase, job.phase.replace("_", " ").capitalize())


def job_error(job: Job) -> str:
    """Why a job failed; nothing where it did not."""
    if job.status != "failed":
        return ""
    error = job.error or {}
    return note(sentence(str(error.get("detail") or "the fine-tune failed without saying why")), "bad")
