from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys, threading
from pathlib import Path
from saft_core.process import share_heap

if sys.argv[1] == "shared":
    share_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def lies_in_heap():
    address = libc.malloc(5000)
    line = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[heap]"))
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    print(first <= address < last)

threading.Thread(target=lies_in_heap).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize(("mode", "answer"), [("shared", "True"), ("own", "False")])
def test_threads_allocate_from_the_main_heap_if_told_so(mode: str, answer: str) -> None:
    command = [sys.executable, "-c", SCRIPT, mode]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == answer
