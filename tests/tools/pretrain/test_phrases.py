"""Which phrases the text tower is taught, and where each of them lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tools.pretrain.meanings import Known, Meanings, known_synsets
from tools.pretrain.phrases import (
    CATEGORY,
    CLASS,
    EMOJI,
    KIND,
    NOUN,
    Phrases,
    class_offsets,
    collect,
    with_people,
)
from tools.pretrain.sources import Emoji, EmojiTable
from tools.pretrain.teacher import Teacher
from tools.pretrain.wordnet import WordNet

WIDTH = 8
THING, PERSON, GROOM, WIG, HAMMER, WHATSIT = (f"9000000{number}" for number in range(6))
ABOVE = f"""  1 a licence, which is indented
{THING} 03 n 01 thing 0 000 | what there is
{PERSON} 18 n 01 person 0 001 @ {THING} n 0000 | someone
{GROOM} 18 n 01 groom 0 001 @ {PERSON} n 0000 | he marries
{WIG} 06 n 01 wig 0 001 @ {THING} n 0000 | hair that is worn
{HAMMER} 06 n 01 hammer 0 001 @ {THING} n 0000 | it hits
{WHATSIT} 06 n 01 whatsit 0 001 @ {THING} n 0000 | it does something
"""
PEOPLE = {"thing": THING, "person": PERSON, "groom": GROOM, "wig": WIG, "hammer": HAMMER, "whatsit": WHATSIT}
CLASSES = {f"class{number:04d}": f"{number:08d}" for number in range(len(IMAGENET_CLASSNAMES))}
CLASS_LINES = "\n".join(f"{offset} 06 n 01 {word} 0 001 @ {THING} n 0000 | a thing" for word, offset in CLASSES.items())
CAT = Emoji("1F431", "cat face", "animal-mammal", ("whiskers", "light skin tone"))


class Letters:
    """A teacher in whose eyes texts of other letters are other things."""

    def embed(self, texts: Sequence[str]) -> Tensor:
        rows = [[text.count(letter) + 0.1 for letter in "abcdefghijklmnopqrstuvwxyz0123456789"] for text in texts]
        return F.normalize(torch.tensor(rows), dim=1)


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = tmp_path_factory.mktemp("wordnet")
    (folder / "data.noun").write_text(f"{ABOVE}{CLASS_LINES}\n", "utf-8")
    index = [f"{word} n 1 1 @ 1 0 {offset}" for word, offset in (PEOPLE | CLASSES).items()]
    (folder / "index.noun").write_text("\n".join(index) + "\n", "utf-8")
    return WordNet(folder)


@pytest.fixture(scope="module")
def known(wordnet: WordNet) -> Known:
    prototypes = torch.randn(len(CLASSES), WIDTH, generator=torch.Generator().manual_seed(0))
    return known_synsets(wordnet, [*CLASSES.values()], F.normalize(prototypes, dim=1))


@pytest.fixture(scope="module")
def phrases(wordnet: WordNet, known: Known) -> Phrases:
    meanings = Meanings(wordnet, cast("Teacher", Letters()), known)
    return collect(wordnet, known, meanings, EmojiTable({CAT.code: CAT}, {}, {}))


def test_the_classes_are_imagenets_in_the_order_of_their_names() -> None:
    offsets = class_offsets()
    assert len(set(offsets)) == len(offsets) == len(IMAGENET_CLASSNAMES)
    assert {IMAGENET_CLASSNAMES[place]: offsets[place] for place in (0, len(offsets) - 1)} == {
        "tench": "01440764",
        "toilet paper": "15075141",
    }


def test_people_lie_where_people_and_what_they_wear_do(wordnet: WordNet) -> None:
    known = Known((THING, PERSON, GROOM, WIG, HAMMER), F.normalize(torch.eye(5) + 0.1, dim=1))
    moved = with_people(known, wordnet)
    assert_close(moved.places[1], F.normalize(known.places[[2, 3]].mean(0), dim=0))
    others = [0, 2, 3, 4]
    assert torch.equal(moved.places[others], known.places[others])


def test_each_phrase_is_there_once_with_where_it_comes_from(phrases: Phrases) -> None:
    assert len(set(phrases.texts)) == len(phrases.texts) == len(phrases.places) == len(phrases.origin)
    origin = dict(zip(phrases.texts, phrases.origin, strict=True))
    assert [origin[text] for text in ("tench", "class0000", "thing", "whatsit", "whiskers", "mammal")] == [
        CLASS,
        CLASS,
        KIND,
        NOUN,
        EMOJI,
        CATEGORY,
    ]
    assert "light skin tone" not in origin
    assert_close(phrases.places.norm(dim=1), torch.ones(len(phrases.texts)))


def test_a_class_lies_at_its_prototype_and_a_word_of_two_things_between_them(phrases: Phrases, known: Known) -> None:
    row = phrases.row()
    assert_close(phrases.places[row["tench"]], known.places[0])
    assert_close(phrases.places[row["class0007"]], known.places[7])
    twice = next(name for name in IMAGENET_CLASSNAMES if IMAGENET_CLASSNAMES.count(name) > 1)
    rows = [place for place, name in enumerate(IMAGENET_CLASSNAMES) if name == twice]
    assert_close(phrases.places[row[twice.lower()]], F.normalize(known.places[rows].mean(0), dim=0))
