from __future__ import annotations

from dataclasses import replace

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor
from torch.nn import functional as F

from evaluation.loading import Images
from evaluation.methods.cocoop import CoCoOp
from evaluation.methods.coop import CoOp
from evaluation.methods.maple import MaPLe
from evaluation.methods.method import Examples, FitConfig, Fitted, Unsuited
from evaluation.methods.prompts import LearnedPrompts
from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from saft_core.training_options import Augment
from tests.fixtures.families import FAMILIES, Family, make
from tests.fixtures.models import TEXT, TOWERS, bits, make_base, to_pixels, tokenizer
from tests.fixtures.tasks import LABELS, colour_samples

TEMPLATE = "a photo of a {}."
NAMES = ("hot_dog", "cat", "AnnualCrop", "02_ice-cream")
CONFIG = FitConfig(
    learning_rate=0.1, epochs=4, batch_size=4, weight_decay=5e-4, density=0.001, augment="none", seed=1
)  # fmt: skip
METHODS = [CoOp(), CoCoOp(), MaPLe()]
READ = ["EVA-02", "MobileCLIP (FastViT)", "PE-Core", "ViTamin"]
"""Families whose text tower stands alone, causal or not, and reads CLIP's words."""


def images(base: Base, per_class: int = 4) -> Images:
    made = Images(base, colour_samples(per_class))
    made.freeze()
    return made


@torch.no_grad()
def scores(fitted: Fitted, of: Images, labels: tuple[str, ...] = LABELS) -> Tensor:
    with fitted.active():
        scorer = fitted.scorer(labels, "not a {} at all")
        assert scorer is not None
        return scorer(of.batch(range(len(of))))


def custom(**text: object) -> Base:
    torch.manual_seed(0)
    model = CustomTextCLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT | text)
    return Base(model, to_pixels, tokenizer(), name="custom")


@pytest.mark.parametrize("learned", [2, None])
@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_in_the_context_of_its_words_a_class_has_its_zero_shot_embedding(tower: str, learned: int | None) -> None:
    base = make_base(tower)
    prompts = LearnedPrompts(base, NAMES, learned)
    with torch.no_grad():
        encoded = prompts.encode(prompts.words[None])
        torch.testing.assert_close(encoded[0], base.encode_texts(fill(TEMPLATE, NAMES)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.title in READ], ids=lambda one: one.title)
def test_a_text_tower_that_stands_alone_is_read_as_well(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make(family, monkeypatch)
    prompts = LearnedPrompts(base, NAMES)
    with torch.no_grad():
        encoded = prompts.encode(prompts.words[None])
        torch.testing.assert_close(encoded[0], base.encode_texts(fill(TEMPLATE, NAMES)), rtol=1e-4, atol=1e-5)


def test_a_class_of_the_rest_is_named_as_elsewhere_behind_the_whole_context() -> None:
    base = make_base("vit")
    prompts = LearnedPrompts(base, ["Other"])
    with torch.no_grad():
        encoded = prompts.encode(prompts.words[None])[0]
        torch.testing.assert_close(encoded, base.encode_texts(["a photo of a something else."]), rtol=1e-5, atol=1e-6)


def test_every_context_has_embeddings_of_its_own() -> None:
    base = make_base("vit")
    prompts = LearnedPrompts(base, NAMES)
    contexts = prompts.words + 0.1 * torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)).to(base.device)
    with torch.no_grad():
        together = prompts.encode(contexts)
        assert together.shape == (3, 4, 16)
        for context, encoded in zip(contexts, together, strict=True):
            torch.testing.assert_close(encoded, prompts.encode(context[None])[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.parametrize("tokens", [1, 30, 70])
def test_many_small_passes_give_the_embeddings_and_gradients_of_one(tokens: int) -> None:
    base = make_base("vit")
    base.model.requires_grad_(False)
    target = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)).to(base.device)
    found = []
    for small in ({}, {"tokens_per_pass": tokens}):
        prompts = LearnedPrompts(base, NAMES, **small)
        contexts = (prompts.words + torch.arange(3).view(3, 1, 1).to(base.device) / 10).requires_grad_()
        deeper = [torch.ones(4, 16, device=base.device, requires_grad=True)]
        encoded = prompts.encode(contexts, deeper)
        (encoded * target).sum().backward()
        assert contexts.grad is not None
        found.append((encoded.detach(), contexts.grad, deeper[0].grad))
    for one, many in zip(*found, strict=True):
        torch.testing.assert_close(many, one, rtol=1e-3, atol=1e-4)


def test_what_is_not_kept_for_backward_is_what_lies_in_passes() -> None:
    def kept(**small: int) -> int:
        sizes: list[int] = []

        def note(tensor: Tensor) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        prompts = LearnedPrompts(base, NAMES, **small)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            prompts.encode(prompts.words.expand(6, -1, -1).clone().requires_grad_())
        return sum(sizes)

    base = make_base("vit")
    base.model.requires_grad_(False)
    assert kept(tokens_per_pass=40) < kept() / 4


def test_a_text_tower_with_a_class_token_is_refused() -> None:
    with pytest.raises(Unsuited, match="class token"):
        LearnedPrompts(custom(embed_cls=True), NAMES)


def test_a_text_tower_that_pools_elsewhere_is_refused() -> None:
    with pytest.raises(Unsuited, match="'last'"):
        LearnedPrompts(custom(pool_type="last"), NAMES)


@pytest.mark.parametrize("text", [{}, {"no_causal_mask": True}, {"pool_type": "eos", "eos_id": 49407}])
def test_texts_are_pooled_and_masked_as_the_tower_has_it(text: dict[str, object]) -> None:
    base = custom(**text)
    prompts = LearnedPrompts(base, NAMES)
    with torch.no_grad():
        encoded = prompts.encode(prompts.words[None])[0]
        torch.testing.assert_close(encoded, base.encode_texts(fill(TEMPLATE, NAMES)), rtol=1e-4, atol=1e-6)


def test_a_text_tower_of_another_make_is_refused() -> None:
    base = custom()
    base.model.text = torch.nn.Linear(2, 2)
    with pytest.raises(Unsuited, match="Linear"):
        LearnedPrompts(base, NAMES)


def test_a_tokenizer_without_a_start_is_refused() -> None:
    base = make_base("vit")
    base.tokenize = lambda texts: open_clip.SimpleTokenizer(context_length=12)(list(texts))
    with pytest.raises(Unsuited, match="tokenizer"):
        LearnedPrompts(base, NAMES)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_fit_learns_its_shots_and_leaves_the_base_as_it_was(method: CoOp | CoCoOp | MaPLe, augment: Augment) -> None:
    base = make_base("vit")
    before, shots = base.flat.sha256(), images(base)
    config = replace(CONFIG, augment=augment)
    start = method.fit(base, Examples(shots, LABELS, TEMPLATE), replace(config, learning_rate=0.0, epochs=1))
    fitted = method.fit(base, Examples(shots, LABELS, TEMPLATE), config)
    first, last = (F.cross_entropy(scores(one, shots), shots.targets) for one in (start, fitted))
    assert last < first - 0.01
    assert base.flat.sha256() == before
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in base.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.model.modules())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_fit_is_the_same_for_the_same_seed_only(method: CoOp | CoCoOp | MaPLe) -> None:
    base = make_base("vit")
    shots, torn = images(base), torch.random.get_rng_state()
    first, again, other = (
        bits(scores(method.fit(base, Examples(shots, LABELS, TEMPLATE), replace(CONFIG, epochs=1, seed=seed)), shots))
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), torn)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_fit_names_classes_it_never_saw(method: CoOp | CoCoOp | MaPLe) -> None:
    base = make_base("vit")
    shots = images(base)
    fitted = method.fit(base, Examples(shots, LABELS, TEMPLATE), replace(CONFIG, epochs=1))
    both = scores(fitted, shots, (*NAMES, *LABELS))
    assert both.shape == (len(shots), len(NAMES) + len(LABELS))
    torch.testing.assert_close(both[:, len(NAMES) :], scores(fitted, shots), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "rate"), [(CoOp(), 2e-3), (CoCoOp(), 2e-3), (MaPLe(), 3.5e-3)], ids=["CoOp", "CoCoOp", "MaPLe"]
)
def test_the_stated_rate_is_the_published_one(method: CoOp | CoCoOp | MaPLe, rate: float) -> None:
    base = make_base("vit")
    assert method.hyperparameters.learning_rate(base) == rate
    assert len(method.hyperparameters.search(base)) == 3
    assert rate in method.hyperparameters.search(base)
