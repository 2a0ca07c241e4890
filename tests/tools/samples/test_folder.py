import csv
import io
from pathlib import Path

from PIL import Image

from tools.samples.choice import Sample
from tools.samples.folder import write
from tools.samples.originals import Original


def _original(name: str) -> Original:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "navy").save(stream, "PNG")
    return Original(name, "scratch", f"usr/{name}", "MIT", "CC-BY-SA-3.0", "", stream.getvalue)


def test_writing_replaces_the_pictures_and_lists_them(tmp_path: Path) -> None:
    stale, kept = tmp_path / "train/bird/stale.webp", tmp_path / "SOURCES.md"
    stale.parent.mkdir(parents=True)
    stale.touch()
    kept.touch()

    write(
        [
            Sample("train", "bird", _original("scratch/a/bird.gif")),
            Sample("shifted", "bird", _original("twemoji/bird")),
        ],
        tmp_path,
    )

    assert kept.exists()
    assert not stale.exists()
    with (tmp_path / "SOURCES.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["train/bird/scratch-a-bird.webp", "shifted/bird/twemoji-bird.png"]
    assert all((tmp_path / row["file"]).is_file() for row in rows)
    assert rows[0]["package"] == "scratch 1.4.0.6~dfsg1-6.1"
