from __future__ import annotations

import subprocess
import sys

WATCHED = """
import sys, time
def watch(event, args):
    if event in ("os.fork", "socket.getaddrinfo", "socket.connect", "os.mkdir"):
        print(event, args, flush=True)
sys.addaudithook(watch)
{}
time.sleep(1)
import threading
print([thread.name for thread in threading.enumerate()])
"""


def output(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", WATCHED.format(code)], capture_output=True, text=True, check=True)
    return ended.stdout


def test_importing_openvino_reports_to_nobody() -> None:
    quiet = output("from saft_core import quiet_openvino; openvino = quiet_openvino.load(); openvino.Core()")
    assert quiet == "['MainThread']\n"
