from __future__ import annotations

from benchmarks.serving.registered import hit_rates


def test_rates_are_over_all_windows() -> None:
    nothing = {f"{group}_{name}": 0 for group in ("delta", "class_weights") for name in ("hits", "loads")}
    nothing |= {f"rows_{route}": 0 for route in ("base", "swap", "mixed", "compiled")}
    first = nothing | {"delta_hits": 3, "delta_loads": 1, "rows_mixed": 4}
    second = nothing | {
        "delta_hits": 3,
        "delta_loads": 1,
        "class_weights_loads": 2,
        "rows_swap": 10,
        "rows_compiled": 2,
    }
    assert hit_rates([first, second]) == {
        "adapter_hit_rate": 0.75, "class_weights_hit_rate": 0.0, "mixed_share": 0.25, "compiled_share": 0.125,
    }  # fmt: skip
    assert hit_rates([nothing])["adapter_hit_rate"] == 0.0
