from __future__ import annotations

import itertools
import json
import subprocess

import pytest

from ui import snippets
from ui.snippets import Example

NASTY = """it's "<KEY>" $(rm -rf x) `id` \\ {} é"""
TASKS = (snippets.classify, snippets.retrieve, snippets.create)
EXAMPLES = [
    Example("http://127.0.0.1:8000", key, adapter, labels, text, dataset, collection)
    for key, adapter, labels, text, dataset, collection in itertools.product(
        ("", "sk_1"), ("icons", NASTY), ((), ("cat", NASTY)), (NASTY,), (None, "ds_1"), (None, "col_1")
    )
]


@pytest.mark.parametrize("task", TASKS)
def test_every_snippet_is_correct_code(task: snippets.Task) -> None:
    for example in EXAMPLES:
        snippet = task(example)
        compile(snippet.python, "snippet", "exec")
        checked = subprocess.run(["bash", "-n"], input=snippet.curl, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr + snippet.curl


@pytest.mark.parametrize("task", TASKS)
def test_the_key_is_written_only_where_it_is_asked_for(task: snippets.Task) -> None:
    quiet, open_ = task(Example("http://x")), task(Example("http://x", key="sk_secret"))
    assert 'Client("http://x")' in quiet.python
    assert "${SAFT_API_KEY:?" in quiet.curl
    assert 'Client("http://x", "sk_secret")' in open_.python
    assert "export SAFT_API_KEY=sk_secret" in open_.curl


@pytest.mark.parametrize("task", TASKS)
def test_only_what_is_used_is_imported(task: snippets.Task) -> None:
    code = task(Example("http://x", "sk_1", dataset_id="ds_1", collection_id="col_1")).python
    for line in code.splitlines():
        if line.startswith("import ") and line != "import saft_client":
            assert code.count(f"{line.removeprefix('import ')}.") >= 1
    assert "<" not in code.replace("<NAME>", "")


def sent_by_curl(script: str, tmp_path: object) -> list[str]:
    """What the script hands to curl, one argument a line; curl itself is not called."""
    stand_in = "curl() { printf '%s\\n' \"$@\" >&2; }\n"
    ran = subprocess.run(
        ["bash"], input=stand_in + script, text=True, capture_output=True, check=True, cwd=str(tmp_path)
    )
    return ran.stderr.splitlines()


def test_names_reach_curl_as_they_are(tmp_path: object) -> None:
    example = Example("http://x", "sk_1", NASTY, ("cat", NASTY), NASTY, "ds_1", "col_1")
    arguments = sent_by_curl(snippets.classify(example).curl, tmp_path)
    assert f"adapter={NASTY}" in arguments
    assert f"labels={NASTY}" in arguments
    bodies = [line for line in sent_by_curl(snippets.retrieve(example).curl, tmp_path) if line.startswith("{")]
    assert json.loads(bodies[0]) == {"collection_id": "col_1", "adapter": NASTY, "text": NASTY, "top_k": 5}


def test_a_tenant_without_a_collection_gets_code_that_makes_one() -> None:
    curl = snippets.retrieve(Example("http://x", dataset_id="ds_1")).curl
    assert '"$URL/collections"' in curl
    assert "COLLECTION=$(" in curl


def test_a_tenant_without_a_dataset_gets_code_that_uploads_one() -> None:
    assert "archive=@images.zip" in snippets.create(Example("http://x")).curl
