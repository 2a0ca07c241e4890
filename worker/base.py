"""The fingerprint of the worker's base, computed in a process of its own: the one that forks must not load torch.

python -m worker.base SPEC    prints the fingerprint of the base that SPEC, as in SAFT_BASE, names
"""

from __future__ import annotations

import subprocess
import sys

from saft_core.errors import SaftError, Unavailable
from saft_core.process import die_with_parent, uncollected


def fingerprint(spec: str) -> str:
    """The fingerprint of the base that the setting `SAFT_BASE` names. Raises Unavailable if it cannot be loaded."""
    found = subprocess.run(  # noqa: S603 (our own command line)
        [sys.executable, "-m", "worker.base", spec],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,  # there are no other threads yet
    )
    if found.returncode != 0:
        reason = found.stderr.strip().splitlines()[-1:] or [f"loading it ended with {found.returncode}"]
        raise Unavailable(f"this worker cannot train: {reason[0]}")
    return found.stdout.split()[-1]


def main() -> None:
    """Print the fingerprint, or the reason and exit status 1."""
    with uncollected():
        from saft_core.clip.loading import load_base  # noqa: PLC0415 (imports torch)

        try:
            print(load_base(sys.argv[1]).fingerprint)  # noqa: T201
        except SaftError as error:
            sys.exit(error.message)


if __name__ == "__main__":
    main()
