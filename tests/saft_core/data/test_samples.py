from __future__ import annotations

from saft_core.data.samples import Sample


def test_a_sample_is_read_only_when_asked() -> None:
    reads: list[str] = []

    def read() -> bytes:
        reads.append("cat/1.jpg")
        return b"bytes"

    sample = Sample(0, "cat/1.jpg", read)
    assert reads == []
    assert sample.read() == sample.read() == b"bytes"
    assert len(reads) == 2
