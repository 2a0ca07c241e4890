from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, threading
import torch
from saft_core.process import share_heap

if sys.argv[1] == "shared":
    share_heap()
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2 << 20)  # 8 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

threading.Thread(target=lambda: (faults(), print(faults()))).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_thread_on_the_main_heap_keeps_its_freed_memory() -> None:
    def faults(mode: str) -> int:
        command = [sys.executable, "-c", SCRIPT, mode]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    shared, own = faults("shared"), faults("own")
    assert shared < 100
    assert shared <= own
