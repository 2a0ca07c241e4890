from __future__ import annotations

import pytest

from api.etags import is_current


@pytest.mark.parametrize("sent", ['"a"', 'W/"a"', '"b", "a"', '"b","c" , W/"a"', "*"])
def test_a_client_that_has_the_answer_is_told_so(sent: str) -> None:
    assert is_current(sent, '"a"')


@pytest.mark.parametrize("sent", [None, "", '"b"', "a", '"ab"', '"b", "*"', '"a'])
def test_one_that_has_another_answer_is_given_this_one(sent: str | None) -> None:
    assert not is_current(sent, '"a"')
