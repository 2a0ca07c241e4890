"""The text tower's short way, and that a training goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional as F
from torch.testing import assert_close

from tools.pretrain import stages
from tools.pretrain.model import WIDTH, build_model, tokenizer, write_merges
from tools.pretrain.phrases import CATEGORY, CLASS, EMOJI, KIND, NOUN, Phrases
from tools.pretrain.text_tower import TEMPLATES, Sentences, TextConfig, encode, teach

TEXTS = ("tabby cat", "guitar", "a very long name of a thing that has many words", "hammer", "okapi")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> SimpleTokenizer:
    merges = tmp_path_factory.mktemp("vocabulary") / "merges.txt.gz"
    write_merges(merges)
    return tokenizer(merges)


@pytest.fixture
def model() -> CLIP:
    torch.manual_seed(0)
    return build_model().eval()


def test_the_short_way_gives_what_open_clip_gives(model: CLIP, words: SimpleTokenizer) -> None:
    tokens = words([f"a photo of a {text}." for text in TEXTS])
    with torch.no_grad():
        torch.nn.init.normal_(model.positional_embedding, std=0.1)
        wanted = F.normalize(model.encode_text(tokens), dim=1)
        assert_close(encode(model, tokens), wanted, atol=1e-5, rtol=1e-4)


def test_sentences_are_tokenised_as_a_whole_text_is(words: SimpleTokenizer) -> None:
    sentences = Sentences(words, TEXTS)
    for template, text in enumerate(TEMPLATES):
        rows = range(len(TEXTS))
        given = sentences.tokens(rows, [template] * len(rows))
        wanted = words([text.format(phrase) for phrase in TEXTS])
        assert torch.equal(given, wanted[:, : given.shape[1]])
        assert not wanted[:, given.shape[1] :].any()


def test_a_stopped_training_goes_on_to_the_same_end(
    words: SimpleTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "KEEP_EVERY", 2)
    places = F.normalize(torch.randn(len(TEXTS), WIDTH, generator=torch.Generator().manual_seed(1)), dim=1)
    phrases = Phrases(TEXTS, places, (CLASS, KIND, NOUN, EMOJI, CATEGORY))
    config = TextConfig(steps=4, batch_size=3)

    def trained(checkpoint: Path, stop_after: int | None = None) -> CLIP:
        torch.manual_seed(0)
        model, said = build_model(), []

        def report(line: str) -> None:
            said.append(line)
            if stop_after is not None and stages.Checkpoint(checkpoint).resume() >= stop_after:
                raise KeyboardInterrupt

        teach(model, words, phrases, config, checkpoint, report)
        return model

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stop_after=2)
    resumed, whole = trained(tmp_path / "stopped"), trained(tmp_path / "whole")
    for (name, given), wanted in zip(resumed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(given, wanted), name
