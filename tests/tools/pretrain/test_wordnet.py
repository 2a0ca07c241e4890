"""WordNet's database files, of which a few lines are written out here in the format wndb(5WN)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.pretrain.wordnet import WordNet

DATA = """  1 This line stands for the licence.
00001740 03 n 01 entity 0 000 | that which exists
00015388 05 n 02 animal 0 beast 0 001 @ 00001740 n 0000 | a living organism; "an example"
02121620 05 n 02 cat 0 true_cat 0 001 @ 00015388 n 0000 | feline mammal; no ability to roar
09900000 18 n 01 Felix 0 001 @i 02121620 n 0000 | a certain cat
05000000 09 n 01 catness 0 001 @ 00001740 n 0000 | what cannot be seen
"""
INDEX = """  1 This line stands for the licence.
animal n 1 1 @ 1 1 00015388
cat n 2 1 @ 2 1 02121620 00015388
catness n 1 1 @ 1 0 05000000
felix n 1 1 @ 1 0 09900000
true_cat n 1 1 @ 1 0 02121620
"""


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    (tmp_path / "data.noun").write_text(DATA, "utf-8")
    (tmp_path / "index.noun").write_text(INDEX, "utf-8")
    return WordNet(tmp_path)


def test_a_synset_is_read_with_its_words_kind_and_definition(wordnet: WordNet) -> None:
    cat = wordnet.synsets["02121620"]
    assert (cat.kind, cat.words, cat.hypernyms) == (5, ("cat", "true cat"), ("00015388",))
    assert (cat.gloss, cat.is_instance) == ("feline mammal", False)
    assert wordnet.synsets["09900000"].is_instance


def test_the_first_sense_of_a_word_is_the_one_listed_first(wordnet: WordNet) -> None:
    assert wordnet.first_sense["cat"] == "02121620"
    assert wordnet.first_sense["true cat"] == "02121620"


def test_ancestors_are_the_synset_and_all_above_it(wordnet: WordNet) -> None:
    assert wordnet.ancestors("09900000") == {"09900000", "02121620", "00015388", "00001740"}


def test_nouns_are_what_can_be_seen_and_has_no_name_of_its_own(wordnet: WordNet) -> None:
    assert dict(wordnet.nouns()) == {"animal": "00015388", "cat": "02121620", "true cat": "02121620"}


def test_a_description_says_words_kind_and_definition(wordnet: WordNet) -> None:
    assert wordnet.describe("02121620") == "cat, true cat, a kind of animal: feline mammal"
    assert wordnet.describe("00001740") == "entity: that which exists"
