from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

REPOSITORY = Path(__file__).parents[2]


def test_large_pictures_of_many_requests_take_turns(sessions: sessionmaker[Session], database_url: str) -> None:
    """Sixteen pictures of 49 megapixels decoded at once are 3.9 GB and more; a picture at a time is 0.5 GB."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.api.memory_of_requests", database_url],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 30
