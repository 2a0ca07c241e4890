from __future__ import annotations

import torch

from saft_core.tuning.early_stopping import EarlyStopping


def test_patience_runs_out_after_so_many_epochs_without_a_lower_loss() -> None:
    stopping = EarlyStopping(2)
    over = []
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 1.0, 1.0, 1.5]):
        stopping.note(loss, torch.tensor([float(epoch)]))
        over.append(stopping.over)
    assert over == [False] * 5 + [True]
    assert stopping.best is not None
    assert stopping.best.tolist() == [3.0]


def test_it_goes_on_from_its_state() -> None:
    first, heir = EarlyStopping(2), EarlyStopping(2)
    for loss in (2.0, 2.5):
        first.note(loss, torch.tensor([loss]))
    heir.resume(*first.state())
    heir.note(2.1, torch.tensor([2.1]))
    assert heir.over
    assert heir.best is not None
    assert heir.best.tolist() == [2.0]
    heir.resume(*EarlyStopping(2).state())
    assert heir.best is None
