"""The most memory of a piece of work is that of this piece, not of an earlier one."""

import torch

from evaluation.memory import Peak

MIB = 2**20


def test_a_peak_counts_what_was_held_since_and_forgets_earlier_peaks() -> None:
    cpu = torch.device("cpu")
    idle = Peak(cpu).bytes
    peak = Peak(cpu)
    large = torch.ones(256 * MIB // 4)
    del large
    assert peak.bytes >= idle + 200 * MIB
    assert Peak(cpu).bytes < idle + 100 * MIB
