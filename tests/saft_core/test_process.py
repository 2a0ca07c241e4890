from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import ctypes, resource, sys, threading
from pathlib import Path
from saft_core.process import keep_memory

if sys.argv[1] == "kept":
    keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
"""

THREAD = """
def lies_in_heap():
    address = libc.malloc(5000)
    line = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[heap]"))
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    print(first <= address < last)

threading.Thread(target=lies_in_heap).start()
"""

FAULTS = """
def faults(size=64 << 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults() < 100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize("script", [THREAD, FAULTS], ids=["threads share the heap", "freed blocks are kept"])
@pytest.mark.parametrize(("mode", "answer"), [("kept", "True"), ("returned", "False")])
def test_memory_is_kept_if_told_so(script: str, mode: str, answer: str) -> None:
    command = [sys.executable, "-c", START + script, mode]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == answer


def test_the_collector_passes_over_what_was_there_before() -> None:
    script = "import gc; from saft_core.process import freeze_objects; freeze_objects(); print(len(gc.get_objects()))"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert int(answer) < 100
