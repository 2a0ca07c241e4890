"""What needs an extra of the package is tried in a process that finds it; all others do without, as most users do.

With transformers installed, every import of open_clip would load it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HF = Path(sys.prefix) / "hf"
"""Where `make test` installs what the extra saft[language] adds: all of saft[hf], and peft."""


def test_what_language_models_need_holds_what_tokenizers_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras["hf"]) < set(extras["language"])


def test_what_is_marked_hf_passes_with_the_extra_installed(tmp_path: Path) -> None:
    assert HF.is_dir(), f"{HF} is not there: `make test` installs it"
    packages = sysconfig.get_path("purelib", vars={"base": str(HF)})
    found = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
    # A folder of its own: where pytest makes one, it shuts the folders of all runs to other users, as PostgreSQL's.
    options = ["-m", "hf", "-n", "0", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "inner")]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        env=os.environ | {"PYTHONPATH": found},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "skipped" not in ran.stdout
