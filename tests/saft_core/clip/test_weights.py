from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from saft_core.clip import weights
from saft_core.clip.loading import load_base
from saft_core.errors import Unavailable
from tests.fixtures.models import CONTEXT_LENGTH, pictures
from tests.saft_core.clip.checkpoints import NAME, clip, config, warned, write_openai_archive


def as_trained(state: dict[str, Any]) -> dict[str, Any]:
    """As open_clip's training leaves it."""
    return {"epoch": 3, "name": "mine", "state_dict": {f"module.{name}": value for name, value in state.items()}}


def write(content: dict[str, Any], file: Path) -> None:
    if file.suffix == ".safetensors":
        save_file(content, file)
    else:
        torch.save(content, file)


@pytest.mark.usefixtures("registered")
def test_openai_archives_are_loaded_as_openai_meant_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ViT-tiny.pt"
    write_openai_archive(file, clip())
    base = load_base(f"{NAME}/{file}")
    assert "QuickGELU" in base.describe()
    assert warned(caplog) == [], "the archive leaves no doubt"
    quick = clip(**config(quick_gelu=True)).half().float()
    pixels = base.pixels(pictures(2))
    with torch.no_grad():
        torch.testing.assert_close(base.encode_pixels(pixels), quick.encode_image(pixels, normalize=True))
        tokens = base.tokenize(["a cat", "a dog"])
        torch.testing.assert_close(base.encode_tokens(tokens), quick.encode_text(tokens, normalize=True))
    assert {p.dtype for p in base.model.parameters()} == {torch.float32}


@pytest.mark.usefixtures("registered")
def test_other_torchscript_is_refused_in_a_line(tmp_path: Path) -> None:
    write_openai_archive(tmp_path / "mine.pt", clip(), with_numbers=False)
    with pytest.raises(Unavailable, match="TorchScript archive and not OpenAI's; save its state dict"):
        load_base(f"{NAME}/{tmp_path}/mine.pt")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_half_precision_is_widened(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    state = {name: value.to(dtype) for name, value in clip().state_dict().items()}
    file = tmp_path / f"mine{suffix}"
    write(as_trained(state) if suffix == ".pt" else state, file)
    base = load_base(f"{NAME}/{file}")
    assert base.flat.buffer.dtype == torch.float32
    assert all(torch.equal(value, state[name].float()) for name, value in base.model.named_parameters())


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_positions_made_for_another_size_are_told_of(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    larger = config(vision_cfg__image_size=48, text_cfg__context_length=CONTEXT_LENGTH + 5)
    state = dict(clip(**larger).state_dict())
    file = tmp_path / f"mine{suffix}"
    write(as_trained(state) if suffix == ".pt" else state, file)
    load_base(f"{NAME}/{file}")
    told = " ".join(caplog.messages)
    assert "visual.positional_embedding was interpolated from 37 to 17 positions" in told
    assert f" positional_embedding was interpolated from {CONTEXT_LENGTH + 5} to {CONTEXT_LENGTH} positions" in told


def test_positions_of_the_right_size_are_not(tmp_path: Path) -> None:
    model = clip()
    save_file(dict(model.state_dict()), tmp_path / "mine.safetensors")
    assert weights.resized(model, tmp_path / "mine.safetensors") == []


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_nothing_is_unpickled(tmp_path: Path, suffix: str) -> None:
    state: dict[str, Any] = dict(clip().state_dict())
    torch.save(state | {"args": Evil(tmp_path / "it ran")}, tmp_path / f"mine{suffix}")
    with pytest.raises(Unavailable, match="holds more than tensors, which is not unpickled"):
        load_base(f"{NAME}/{tmp_path}/mine{suffix}")
    assert not (tmp_path / "it ran").exists()


def damaged(kind: str, whole: Path) -> bytes:
    content = whole.read_bytes()
    return {"empty": b"", "text": b"hello", "half": content[: len(content) // 2], "head": content[:7]}[kind]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kind", ["empty", "text", "half", "head"])
def test_a_damaged_file_is_a_line(tmp_path: Path, suffix: str, kind: str) -> None:
    whole, file = tmp_path / f"whole{suffix}", tmp_path / f"mine{suffix}"
    state = dict(clip().state_dict())
    write(state, whole)
    file.write_bytes(damaged(kind, whole))
    with pytest.raises(Unavailable, match=f"SAFT_BASE='{NAME}/{file}' cannot be loaded: .") as caught:
        load_base(f"{NAME}/{file}")
    assert "\n" not in caught.value.message


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "nothing"])
def test_weights_that_do_not_fit_are_an_error(tmp_path: Path, change: str) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(dict(clip().state_dict()), file)
    state = load_file(file)
    if change == "missing":
        del state["ln_final.weight"]
    elif change == "unexpected":
        state["ln_final.other"] = torch.ones(1)
    elif change == "shape":
        state["ln_final.weight"] = torch.ones(3)
    else:
        state = {}
    save_file(state, file)
    with pytest.raises(
        Unavailable, match="cannot be loaded: .*" + ("" if change == "nothing" else "ln_final")
    ) as caught:
        load_base(f"{NAME}/{file}")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 900
