"""The examples of README.md and docs/, run as a reader runs them: page by page, in order, in one shell.

What README.md's example leaves in the shell (`CARRIED`) the other pages go on with; `${NAME:-value}` lets a test give
another address or port. A fenced example is run by its language; ```json after one that was run is (a part of) its
answer, ```csv the beginning of it. What cannot be run has `<!-- not run: reason -->` before it and is counted in
`NOT_RUN`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.samples import CLASSES, archive, of_class
from tests.fixtures.service import Service, free_port

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RUN_ELSEWHERE = "client.md"
"""A page that is one Python program: tests/client/test_documents.py runs it."""
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != RUN_ELSEWHERE)
NOT_RUN = {"README.md": 4, "answers.md": 1, "delta-format.md": 1, "evaluation.md": 1, "language.md": 1, "serving.md": 3}
"""How many examples of a page are marked as not run."""
CARRIED = ("SAFT_URL", "SAFT_API_KEY", "DATASET", "IMAGE")
"""Variables of README.md's example that the other pages name."""
ANSWERS = ("json", "csv")
READ_ELSEWHERE = ("hex",)
"""Languages of listings that tests of their own read."""
PAGE_SECONDS = 500
MARK = re.compile(r"<!-- not run: \S.* -->")


@dataclass(frozen=True)
class Example:
    """A fenced listing, or a command in a table: what it says and where it begins."""

    language: str
    text: str
    line: int
    marked: bool = False

    @property
    def command(self) -> str:
        """As the shell runs it."""
        return self.text if self.language == "sh" else f"python3 - <<'END OF EXAMPLE'\n{self.text}END OF EXAMPLE\n"


def examples(page: str) -> list[Example]:
    """All of a page, in order. In a table, code that calls one of the page's own shell functions is one too."""
    functions = "|".join(re.findall(r"^(\w+)\(\) \{", page, re.MULTILINE)) or "(?!)"
    found, lines = [], iter(enumerate(page.splitlines(keepends=True), 1))
    before = ""
    for number, line in lines:
        if line.startswith("```"):
            text = "".join(iter(lambda: next(lines)[1], "```\n"))
            found.append(Example(line[3:].strip(), text, number, bool(MARK.fullmatch(before.strip()))))
        elif line.startswith("|"):
            found += [Example("sh", f"{code}\n", number) for code in re.findall(rf"`((?:{functions}) .*?)`", line)]
        before = line
    return found


class Reader:
    """Somebody in a folder with the service's data, the samples and files of his own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        commands = Path(sys.executable).parent
        self.environment = os.environ | {
            "SAFT_URL": url,
            "PORT": str(free_port()),
            "PATH": f"{commands}:{os.environ['PATH']}",
            "CURL_HOME": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        (folder / ".curlrc").write_text("fail-with-body\n")  # an error is the end of an example

    def run(self, commands: list[str], then: str = "") -> list[str]:
        """What each printed; all in one shell, which ends at the first that fails."""
        border = "-- the end of an example --"
        script = "".join(f"{command}\necho; echo '{border}'\n" for command in commands)
        (self.folder / "page.sh").write_text(f"set -euo pipefail\n{script}{then}")
        done = subprocess.run(
            ["bash", "page.sh"], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL, timeout=PAGE_SECONDS,
        )  # fmt: skip
        printed = done.stdout.split(f"\n{border}\n")
        if done.returncode:
            failed = commands[len(printed) - 1] if len(printed) <= len(commands) else then
            raise AssertionError(f"{failed}\nended with {done.returncode}:\n{printed[-1][-2000:]}\n{done.stderr}")
        return printed

    def follow(self, page: str) -> list[str]:
        """Run the page's examples and compare the answers that it shows; what each printed."""
        shown = [example for example in examples(page) if not example.marked]
        ran = [example for example in shown if example.language in ("sh", "python")]
        printed = dict(zip(ran, self.run([example.command for example in ran]), strict=False))
        for before, answer in zip([None, *shown], shown, strict=False):
            if answer.language in ANSWERS:
                assert before in printed, f"line {answer.line} shows an answer, but no example before it was run"
                assert answers_like(printed[before], answer), f"line {answer.line} differs from {printed[before]}"
        return list(printed.values())


def answers_like(printed: str, shown: Example) -> bool:
    """Whether the page shows an answer as the service gave it: of JSON (a part of) the keys, of CSV the first line."""
    if shown.language == "csv":
        return printed.lstrip().splitlines()[0] == shown.text.splitlines()[0]
    return any(alike(json.loads(shown.text), part) for part in parts(json.loads(printed)))


def parts(answer: Any) -> Iterator[Any]:
    """The answer and everything in it."""
    yield answer
    inner = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    for value in inner:
        yield from parts(value)


def alike(shown: Any, found: Any) -> bool:
    """Whether both have the same keys at every level; values may differ."""
    if isinstance(shown, dict) and isinstance(found, dict):
        return shown.keys() == found.keys() and all(alike(shown[key], found[key]) for key in shown)
    if isinstance(shown, list) and isinstance(found, list):
        return all(any(alike(one, other) for other in found) for one in shown)
    return isinstance(shown, dict | list) == isinstance(found, dict | list)


@pytest.fixture(scope="module")
def reader(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Who has done what README.md says."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "samples").symlink_to(ROOT / "samples")
    (folder / "saft-data").symlink_to(service.data_dir)
    (folder / "pets.zip").write_bytes(archive("test"))
    for name, label in zip(("red-shoe.jpg", "cup.jpg"), CLASSES, strict=False):
        shutil.copy(of_class("test", label)[0], folder / name)
    made = Reader(folder, service.url)
    commands = [one.command for one in examples(README.read_text()) if not one.marked]
    printed = made.run(commands, then=f"declare -p {' '.join(CARRIED)}")
    made.environment |= dict(re.findall(r'^declare \S+ (\w+)="(.*)"$', printed[-1], re.MULTILINE))
    yield made
    deadline = time.monotonic() + 60
    while not _knows_the_admin(service):  # whose key a page may have changed
        assert time.monotonic() < deadline, "the admin's key opens nothing"
        time.sleep(0.1)


def _knows_the_admin(service: Service) -> bool:
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    return httpx.get(f"{service.url}/tenants", headers=headers).is_success


def test_the_readme_leads_to_an_adapter_that_answers(reader: Reader) -> None:
    assert set(CARRIED) <= reader.environment.keys()
    (printed,) = reader.run(['curl -s $SAFT_URL/adapters/photos -H "Authorization: Bearer $SAFT_API_KEY"'])[:1]
    assert json.loads(printed)["published"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run_in_order(page: Path, reader: Reader) -> None:
    assert reader.follow(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_example_is_one_that_is_run_or_says_why_not(page: Path) -> None:
    text = page.read_text("utf-8")
    found = examples(text)
    assert any(not example.marked for example in found)
    assert sum(example.marked for example in found) == NOT_RUN.get(page.name, 0)
    assert {one.language for one in found} <= {"sh", "python", *ANSWERS, *READ_ELSEWHERE}
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^ {4}.*\bcurl\b.*", outside, re.MULTILINE), "write ```sh around it"


def test_an_example_that_fails_fails_its_page(reader: Reader) -> None:
    good = "```sh\ncurl -s $SAFT_URL/healthz\n```\n"
    assert reader.follow(f'{good}\n```json\n{{"status": "fine"}}\n```\n')
    for wrong in (
        "```sh\ncurl -s $SAFT_URL/adapters\n```\n",  # 401
        "```python\nassert False\n```\n",
        "```sh\necho $UNKNOWN\n```\n",
        f'{good}\n```json\n{{"state": "fine"}}\n```\n',
        f"{good}\n```csv\nstatus\n```\n",
        '```json\n{"status": "fine"}\n```\n',
        f"{good}\nask() {{ false; }}\n| `ask it` |\n",
    ):
        with pytest.raises(AssertionError):
            reader.follow(wrong)
