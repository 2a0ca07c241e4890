"""All methods, in the order of the tables. A new one is a file in this folder and a line here."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.methods.bitfit import BitFit
from evaluation.methods.clip_adapter import ClipAdapter
from evaluation.methods.clipood import Clipood
from evaluation.methods.cocoop import CoCoOp
from evaluation.methods.coop import CoOp
from evaluation.methods.flyp import Flyp
from evaluation.methods.full import FullFineTuning
from evaluation.methods.linear_probe import LinearProbe
from evaluation.methods.lora import Lora
from evaluation.methods.lp_ft import LpFt
from evaluation.methods.maple import MaPLe
from evaluation.methods.method import Method, ZeroShot
from evaluation.methods.served import Served
from evaluation.methods.sparse import FISHER, IMAGE_ONLY, RANDOM, SAFT, SMALLEST_MAGNITUDE, TEXT_ONLY
from evaluation.methods.tip_adapter import TipAdapter, TipAdapterF
from evaluation.methods.wise_ft import WiseFt
from saft_core.errors import InvalidConfig

ZERO_SHOT, FULL, COOP = ZeroShot(), FullFineTuning(), CoOp()
METHODS: Sequence[Method] = (
    ZERO_SHOT,
    LinearProbe(),
    TipAdapter(),
    TipAdapterF(),
    ClipAdapter(),
    COOP,
    CoCoOp(),
    MaPLe(),
    Lora(),
    BitFit(),
    FULL,
    WiseFt(),  # after full fine-tuning, whose fit it shares
    LpFt(),
    Flyp(),
    Clipood(),
    RANDOM,
    SMALLEST_MAGNITUDE,
    FISHER,
    IMAGE_ONLY,
    TEXT_ONLY,
    SAFT,
    Served(),
)
SELECTIONS: Sequence[Method] = (ZERO_SHOT, RANDOM, SMALLEST_MAGNITUDE, FISHER, SAFT)
ENCODERS: Sequence[Method] = (ZERO_SHOT, IMAGE_ONLY, TEXT_ONLY, SAFT)
FEW: Sequence[Method] = (ZERO_SHOT, COOP, FULL, SAFT)
"""Those that the tables of several settings compare."""


def named(names: Sequence[str]) -> Sequence[Method]:
    """The methods of these names, in the order of the tables; all of them for none.

    Raises InvalidConfig for a name that no method has.
    """
    known = {method.name: method for method in METHODS}
    for name in names:
        if name not in known:
            raise InvalidConfig(f"there is no method {name!r}; there are {', '.join(known)}")
    return [method for method in METHODS if not names or method.name in names]
