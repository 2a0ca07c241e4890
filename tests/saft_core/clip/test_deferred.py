from __future__ import annotations

import subprocess
import sys

import pytest


def last_line(script: str) -> str:
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_a_base_is_loaded_and_answers_without_the_compiler() -> None:
    script = (
        "import sys; from saft_core.clip.loading import load_base; load_base('').encode_texts(['a cat']);"
        "print([name for name in sys.modules if name.startswith('torch._dynamo')])"
    )
    assert last_line(script) == "[]"


def test_what_was_marked_without_the_compiler_is_left_alone_by_it() -> None:
    script = """
import torch
from saft_core.clip.deferred import compiler_deferred
with compiler_deferred():
    @torch.compiler.disable
    def alone(x):
        return (torch.compiler.is_compiling(), x + 1)
seen = torch.compile(lambda x: (torch.compiler.is_compiling(), alone(x)[0]), backend="eager")(torch.ones(2))
print(*seen)
"""
    assert last_line(script) == "True False"


def test_torchvision_asks_the_compiler_itself_when_it_needs_to() -> None:
    script = (
        "import sys, saft_core.clip; from torchvision.ops import roi_align;"
        "asked = sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu');"
        "from torch._dynamo.utils import is_compile_supported; print(asked == is_compile_supported('cpu'))"
    )
    assert last_line(script) == "True"


@pytest.mark.parametrize(
    "use",
    [
        "from torch._dynamo import optimize",
        "import torch._dynamo.config",
        "torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])",
    ],
)
def test_any_other_use_loads_the_compiler(use: str) -> None:
    script = (
        "import sys, torch; from saft_core.clip.deferred import compiler_deferred\n"
        f"with compiler_deferred(): {use}\n"
        "import torch._dynamo; print(torch._dynamo.optimize.__module__)"
    )
    assert last_line(script).startswith("torch._dynamo")
