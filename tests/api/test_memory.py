from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

PROGRAM = Path(__file__).parent / "memory_of_requests.py"


def test_large_pictures_of_many_requests_take_turns(sessions: sessionmaker[Session], database_url: str) -> None:
    """Sixteen pictures of 49 megapixels decoded at once are 3.9 GB and more; a picture at a time is 0.5 GB."""
    done = subprocess.run(
        [sys.executable, PROGRAM, database_url], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 30
