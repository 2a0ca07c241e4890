import dataclasses
import math

from evaluation.report.claims import Claim, claim, claims


def test_every_claim_says_where_the_paper_states_it() -> None:
    assert claims()
    for stated in claims():
        assert all(
            text == text.strip() != "" for text in (stated.section, stated.setting, stated.method, stated.column)
        )
        assert stated.table.isdecimal()
        assert math.isfinite(stated.value)
        assert -100 <= stated.value <= 100


def test_no_two_claims_are_of_one_figure() -> None:
    keys = [(stated.table, stated.method.casefold(), stated.column.casefold()) for stated in claims()]

    assert len(keys) == len(set(keys))


def test_a_claim_is_found_by_table_method_and_column() -> None:
    for stated in claims():
        assert claim(stated.table, stated.method.upper(), stated.column.upper()) == stated
        assert claim("0", stated.method, stated.column) is None
        assert claim(stated.table, "no such method", stated.column) is None
        assert claim(stated.table, stated.method, "no such column") is None


def test_the_gain_of_the_abstract_is_one_over_full_fine_tuning() -> None:
    found = claim("1", "SAFT", "mean of the shifted")

    assert found is not None
    assert (found.value, found.over, found.section) == (5.15, "full fine-tuning", "abstract")


def test_a_claim_is_written_with_its_section() -> None:
    gain = Claim("1", "SAFT", "x", 5.5, "abstract", "ImageNet", over="CoOp")

    assert str(gain) == "+5.5 over CoOp (abstract)"
    assert str(dataclasses.replace(gain, over=None, value=77.2, section="section 9")) == "77.2 (section 9)"
