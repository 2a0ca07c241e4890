"""The demo's table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from tools.demo.tenant import Outcome, Quality

HEADER = (
    f"{'tenant':<10}{'model':<16}{'test acc.':>10}{'shifted acc.':>14}{'precision@5':>13}"
    f"{'delta bytes':>13}{'seconds':>9}"
)


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Base and adapters of each tenant; with several seeds, the spread of what the adapters gain."""
    print(f"\n{HEADER}\n{'-' * len(HEADER)}")
    shown: set[str] = set()
    for outcome in outcomes:
        name = f"{outcome.tenant:<10}"
        if outcome.tenant not in shown:
            print(f"{name}{'base':<16}{_numbers(outcome.zero_shot)}{'0':>13}{'':>9}")
            shown.add(outcome.tenant)
        adapter = outcome.adapter
        label = f"adapter seed {adapter.seed}"
        print(f"{name}{label:<16}{_numbers(outcome.adapted)}{adapter.delta_bytes:>13,}{adapter.seconds:>9.1f}")
    for tenant in dict.fromkeys(outcome.tenant for outcome in outcomes):
        _print_gain(tenant, [outcome for outcome in outcomes if outcome.tenant == tenant])


def _numbers(quality: Quality) -> str:
    return f"{quality.test:>10.1%}{quality.shifted:>14.1%}{quality.precision:>13.1%}"


def _print_gain(tenant: str, outcomes: Sequence[Outcome]) -> None:
    gains = {
        "test": [outcome.adapted.test - outcome.zero_shot.test for outcome in outcomes],
        "shifted": [outcome.adapted.shifted - outcome.zero_shot.shifted for outcome in outcomes],
    }
    parts = [
        f"{style} {mean(values) * 100:+.1f} points (from {min(values) * 100:+.1f} to {max(values) * 100:+.1f})"
        for style, values in gains.items()
    ]
    print(f"{tenant}, {outcomes[0].classes} classes, {len(outcomes)} seed(s), adapter over base: {'; '.join(parts)}")
