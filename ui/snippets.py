"""Code to copy that runs as pasted: curl, with nothing to install, and Python with the client.

They use what the tenant has: an image of one of the datasets stands in until the reader puts a file of their own there.
The key is written into the code only where the user asks for it; otherwise the code reads it from `SAFT_API_KEY`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

# An 8 x 8 image of two halves, for tenants that have no dataset.
_TINY_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGklEQVR42mO0ibrDAAOrHiXA2UwMOMDglAAAinQDblMatnQAAAAASUVORK5CYII="
)


@dataclass(frozen=True)
class Example:
    """What the snippets are about. `key` empty: read from the environment; ids None: the tenant has no such thing."""

    url: str
    key: str = ""
    adapter: str = "base"
    labels: tuple[str, ...] = ()
    text: str = "a photo of a cat"
    dataset_id: str | None = None
    collection_id: str | None = None


@dataclass(frozen=True)
class Snippet:
    """One thing to do, in both languages."""

    curl: str
    python: str


Task = Callable[[Example], Snippet]


def classify(example: Example) -> Snippet:
    """Ask an adapter what is on an image."""
    fields = {"adapter": example.adapter, "top_k": "3"}
    parts = [f"-F {shlex.quote(f'{name}={value}')}" for name, value in fields.items()]
    parts += [f"-F {shlex.quote(f'labels={label}')}" for label in example.labels]
    labels = f", labels={_python(list(example.labels))}" if example.labels else ""
    values = {"FIELDS": " ".join(parts), "ADAPTER": _python(example.adapter), "LABELS": labels}
    return Snippet(
        _curl(example, _CURL_IMAGE[example.dataset_id is None] + _CURL_CLASSIFY, values),
        _script(example, _PYTHON_IMAGE[example.dataset_id is None] + _PYTHON_CLASSIFY, values),
    )


def retrieve(example: Example) -> Snippet:
    """Search a collection by text; a tenant without one gets code that makes one."""
    missing = example.collection_id is None
    curl = _CURL_IMAGE[example.dataset_id is None] + _CURL_COLLECTION if missing else _CURL_KNOWN_COLLECTION
    values = {
        "COLLECTION": shlex.quote(example.collection_id or ""),
        "COLLECTION_ID": _python(example.collection_id),
        "QUERY": shlex.quote(json.dumps({"adapter": example.adapter, "text": example.text, "top_k": 5})[1:-1]),
        "ADAPTER": _python(example.adapter),
        "TEXT": _python(example.text),
    }
    python = _PYTHON_IMAGE[example.dataset_id is None] + _PYTHON_COLLECTION if missing else _PYTHON_KNOWN_COLLECTION
    return Snippet(_curl(example, curl + _CURL_RETRIEVE, values), _script(example, python + _PYTHON_RETRIEVE, values))


def create(example: Example) -> Snippet:
    """Fine-tune an adapter from a dataset and follow it to its end."""
    values = {"DATASET": shlex.quote(example.dataset_id or "")}
    known = example.dataset_id is not None
    return Snippet(
        _curl(example, (_CURL_KNOWN_DATASET if known else _CURL_UPLOAD) + _CURL_CREATE, values),
        _script(example, (_PYTHON_KNOWN_DATASET if known else _PYTHON_UPLOAD) + _PYTHON_CREATE, values),
    )


def _curl(example: Example, template: str, values: dict[str, str]) -> str:
    key = f"export SAFT_API_KEY={shlex.quote(example.key)}\n" if example.key else _CURL_KEY
    shared = {"URL": shlex.quote(example.url), "IMAGE": f"/datasets/{example.dataset_id}/images/0"}
    return key + _fill("URL=<URL>\n" + template, values | shared | {"PNG": _TINY_PNG})


def _script(example: Example, template: str, values: dict[str, str]) -> str:
    shared = {
        "URL": _python(example.url),
        "KEY": f", {_python(example.key)}" if example.key else "",
        "DATASET_ID": _python(example.dataset_id),
        "PNG": _TINY_PNG,
    }
    code = _PYTHON_START + template
    modules = [name for name in ("base64", "time") if f"{name}." in code]
    shared["IMPORTS"] = "".join(f"import {name}\n" for name in modules) + ("\n" if modules else "")
    return _fill(code, values | shared)


def _python(value: object) -> str:
    """A Python literal: JSON is one too, for text, numbers, lists and objects."""
    return json.dumps(value, ensure_ascii=False)


def _fill(template: str, values: dict[str, str]) -> str:
    """Put the values in place of `<NAME>`, in one pass: a value that looks like a placeholder stays as it is."""
    return re.sub(r"<([A-Z_]+)>", lambda match: values.get(match[1], match[0]), template)


_CURL_KEY = """\
: "${SAFT_API_KEY:?First give your key:  export SAFT_API_KEY=...}"
"""

# The first for a tenant with a dataset, the second for one without.
_CURL_IMAGE = (
    """
# An image of yours to try with. To use another file, leave this line out and name it below.
curl -sSf "$URL<IMAGE>" -H "Authorization: Bearer $SAFT_API_KEY" -o example-image
""",
    """
# A tiny image to try with. To use a file of yours, leave this line out and name it below.
echo <PNG> | base64 -d > example-image
""",
)

_CURL_CLASSIFY = """
curl -sS "$URL/classify" -H "Authorization: Bearer $SAFT_API_KEY" <FIELDS> -F files=@example-image
"""

_CURL_KNOWN_COLLECTION = """
COLLECTION=<COLLECTION>
"""

_CURL_COLLECTION = """
COLLECTION=$(curl -sSf "$URL/collections" -H "Authorization: Bearer $SAFT_API_KEY" \\
  -H 'Content-Type: application/json' -d '{"name": "my pictures"}' | sed -E 's/.*"id": ?"([^"]+)".*/\\1/')
curl -sSf "$URL/collections/$COLLECTION/images" -H "Authorization: Bearer $SAFT_API_KEY" -F files=@example-image
"""

_CURL_RETRIEVE = """
QUERY=<QUERY>
curl -sS "$URL/retrieve" -H "Authorization: Bearer $SAFT_API_KEY" \\
  -H 'Content-Type: application/json' -d "{\\"collection_id\\": \\"$COLLECTION\\", $QUERY}"
"""

_CURL_KNOWN_DATASET = """
DATASET=<DATASET>
"""

_CURL_UPLOAD = """
# images.zip: one folder per class, the images in the folders.
DATASET=$(curl -sSf "$URL/datasets" -H "Authorization: Bearer $SAFT_API_KEY" \\
  -F name=my-images -F archive=@images.zip | sed -E 's/^\\{"id": ?"([^"]+)".*/\\1/')
"""

_CURL_CREATE = """
NAME="my-adapter-$(date +%H%M%S)"
JOB=$(curl -sSf "$URL/adapters" -H "Authorization: Bearer $SAFT_API_KEY" -H 'Content-Type: application/json' \\
  -d "{\\"name\\": \\"$NAME\\", \\"dataset_id\\": \\"$DATASET\\"}" | sed -E 's/^\\{"id": ?"([^"]+)".*/\\1/')

# Prints the job each time it moves on, until it has ended.
curl -sSN "$URL/jobs/$JOB/events" -H "Authorization: Bearer $SAFT_API_KEY"
"""

_PYTHON_START = """\
# In a checkout of SAFT:  pip install ./client
<IMPORTS>import saft_client

client = saft_client.Client(<URL><KEY>)
"""

_PYTHON_IMAGE = (
    """
# An image of yours to try with. For a file: image = "photo.jpg"
image = client.datasets.image(<DATASET_ID>, 0)
""",
    """
# A tiny image to try with. For a file: image = "photo.jpg"
image = base64.b64decode("<PNG>")
""",
)

_PYTHON_CLASSIFY = """
for result in client.classify([image], <ADAPTER><LABELS>, top_k=3):
    for guess in result.predictions:
        print(f"{guess.probability:7.1%}  {guess.label}")
"""

_PYTHON_KNOWN_COLLECTION = """
collection = <COLLECTION_ID>
"""

_PYTHON_COLLECTION = """
collection = client.collections.create("my pictures")
client.collections.add(collection, [image])
"""

_PYTHON_RETRIEVE = """
for match in client.retrieve(collection, <TEXT>, adapter=<ADAPTER>, top_k=5):
    print(f"{match.score:.3f}  {match.filename}")
"""

_PYTHON_KNOWN_DATASET = """
dataset = <DATASET_ID>
"""

_PYTHON_UPLOAD = """
# my-images: a folder with one folder per class, the images in the folders.
dataset = client.datasets.upload_folder("my-images")
"""

_PYTHON_CREATE = """
job = client.adapters.train(time.strftime("my-adapter-%H%M%S"), dataset)
job = client.jobs.wait(job, progress=True)
print(job.adapter_id, job.metrics)
"""
