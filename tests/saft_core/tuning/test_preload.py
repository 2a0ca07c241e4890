from __future__ import annotations

import subprocess
import sys

import pytest

from saft_core.tuning.preload import warm_up
from tests.fixtures.models import TOWERS, make_base
from tests.fixtures.tasks import LIMITS


@pytest.mark.gpu
@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_the_base_is_as_before(tower: str) -> None:
    base = make_base(tower)
    before = base.flat.sha256()
    warm_up(base, LIMITS)
    assert base.flat.sha256() == before
    assert all(parameter.grad is None for parameter in base.model.parameters())


def test_a_training_after_it_imports_nothing_of_torch_any_more() -> None:
    code = """if True:
        import sys
        from saft_core.tuning.adapt import adapt
        from saft_core.tuning.training_sets import TrainingSets
        from saft_core.tuning.preload import warm_up
        from tests.fixtures.models import make_base
        from tests.fixtures.tasks import LABELS, LIMITS, colour_samples, config
        base = make_base("vit")
        cold = {name for name in sys.modules if name.startswith(("torch", "sympy"))}
        warm_up(base, LIMITS)
        warm = {name for name in sys.modules if name.startswith(("torch", "sympy"))}
        adapt(base, TrainingSets(LABELS, colour_samples(5)), config(evaluate="refit"), LIMITS, lambda _: None)
        late = {name for name in sys.modules if name.startswith(("torch", "sympy"))} - warm
        sys.exit(f"late: {sorted(late)[:5]}" if late or warm == cold else 0)"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
