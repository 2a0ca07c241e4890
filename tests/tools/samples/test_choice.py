import pytest

from tools.samples.choice import one_a_concept, shifted, shuffled, slug, split
from tools.samples.originals import Original


def _original(name: str) -> Original:
    return Original(name, "", "", "", "", "", bytes)


def _fruit(count: int) -> dict[str, Original]:
    names = [f"stamps/food/fruit/{number}.png" for number in range(count - 2)]
    names += ["stamps/plants/trees/rambutan.png", "scratch/Costumes/Things/fruit_platter.gif"]
    return {name: _original(name) for name in names}


def test_no_photograph_is_in_train_and_test() -> None:
    samples = list(split("fruit", _fruit(40)))

    assert [sample.part for sample in samples] == ["train"] * 16 + ["test"] * 14
    assert len({sample.original.name for sample in samples}) == 30


def test_the_split_depends_on_the_seed_alone() -> None:
    fruit = _fruit(30)
    backwards = dict(reversed(fruit.items()))

    assert list(split("fruit", fruit)) == list(split("fruit", backwards))
    assert shuffled(range(30), "fruit") != shuffled(range(30), "bird")


def test_too_few_photographs_are_an_error() -> None:
    with pytest.raises(ValueError, match="fruit: 25 photographs"):
        list(split("fruit", _fruit(25)))


def test_a_concept_is_drawn_once_before_any_is_drawn_twice() -> None:
    one = [_original(f"twemoji/{number}") for number in range(10)]
    other = [_original(f"fxemoji/{number}") for number in range(5, 12)]

    taken = [sample.original.name for sample in shifted("tool", [one, other], {})]

    assert len(taken) == 16
    assert set(taken[:10]) == {f"twemoji/{number}" for number in range(10)}
    assert set(taken[10:12]) == {"fxemoji/10", "fxemoji/11"}
    assert len(set(taken)) == 16


def test_too_few_drawings_are_an_error() -> None:
    with pytest.raises(ValueError, match="tool: 11 drawings"):
        list(shifted("tool", [[_original(f"twemoji/{number}") for number in range(11)]], {}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stamps/food/fruit/Cherry_Stella.png", "stamps-fruit-cherry-stella"),
        ("gcompris/erase/resource/red_panda.webp", "gcompris-red-panda"),
        ("mate/Garden.jpg", "mate-garden"),
        ("twemoji/Japanese castle", "twemoji-japanese-castle"),
    ],
)
def test_files_are_called_by_collection_and_path(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_the_first_set_comes_first_and_second_drawings_last() -> None:
    sets = [["a/fish", "a/shark"], ["b/shark", "b/blowfish"], ["c/scratch/fish.gif"]]

    order = one_a_concept([[_original(name) for name in names] for names in sets])

    assert [drawing.name for drawing in order] == ["a/fish", "a/shark", "b/blowfish", "b/shark", "c/scratch/fish.gif"]
