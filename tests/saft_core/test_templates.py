from __future__ import annotations

from saft_core.templates import as_template, each


def test_one_template_is_a_text_and_several_are_a_tuple() -> None:
    assert as_template("a {}") == as_template(["a {}"]) == as_template(("a {}",)) == "a {}"
    assert as_template(["a {}", "b {}"]) == as_template(("a {}", "b {}")) == ("a {}", "b {}")
    assert hash(as_template(["a {}", "b {}"]))


def test_each_gives_the_templates_in_their_order() -> None:
    assert each("a {}") == ("a {}",)
    assert each(("b {}", "a {}")) == ("b {}", "a {}")
