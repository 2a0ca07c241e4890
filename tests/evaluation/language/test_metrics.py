from __future__ import annotations

import pytest

from evaluation.language.metrics import accuracy, entities, entity_f1, normalised, squad_f1


def test_accuracy_is_the_share_of_right_ones() -> None:
    assert accuracy([0, 1, 2, 1], [0, 1, 1, 1]) == 0.75


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O B-a I-a O", [("a", 1, 3)]),
        ("B-a B-a", [("a", 0, 1), ("a", 1, 2)]),
        ("B-a I-b", [("a", 0, 1), ("b", 1, 2)]),
        ("O I-a I-a B-a", [("a", 1, 3), ("a", 3, 4)]),
        ("I-a O I-a", [("a", 0, 1), ("a", 2, 3)]),
        ("O O", []),
    ],
)
def test_entities_begin_and_end_as_conlleval_has_them(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert list(entities(tags.split())) == found


def test_an_entity_is_right_with_its_words_and_its_name() -> None:
    true = [["B-a", "I-a", "O", "B-b"], ["B-a", "O"]]
    assert entity_f1(true, true) == 1
    assert entity_f1([["O"] * 4, ["O"] * 2], true) == 0
    # Found: a of one word (wrong), b (right); nothing in the second. 1 of 2 found, 1 of 3 wanted.
    precision, recall = 1 / 2, 1 / 3
    expected = 2 * precision * recall / (precision + recall)
    assert entity_f1([["B-a", "O", "O", "B-b"], ["O", "O"]], true) == pytest.approx(expected)


def test_answers_are_compared_without_case_articles_and_punctuation() -> None:
    assert normalised("The  Cat, an owl; and A theatre!") == ["cat", "owl", "and", "theatre"]
    assert squad_f1(["the Cat."], [["cat"]]) == 1
    assert squad_f1([""], [["cat"]]) == 0


def test_the_best_answer_counts_and_repeated_words_once_each() -> None:
    assert squad_f1(["red red cat"], [["dog", "red cat"]]) == pytest.approx(0.8)
    assert squad_f1(["cat", "dog"], [["cat"], ["cat"]]) == 0.5
