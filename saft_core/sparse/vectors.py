"""Vectors of float32 for compiled loops: as many numbers as one register of this processor holds.

numba leaves it to LLVM to find what a loop can do with many numbers at once. In a loop over the places of a picture it
does not, for it cannot tell that what is written lies apart from what is read. Here the loop says so itself: it loads
into registers, computes there, and stores.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from saft_core.sparse.loops import FLOAT_BYTES

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
"""Numbers of a vector."""
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class VectorType(types.Type):  # type: ignore[misc]
    """numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(f"vector of {LANES} float32")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, of_type: Any) -> None:
        super().__init__(manager, of_type, _VECTOR)


VECTOR = VectorType()


def _at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType())


def _spread(builder: Any, number: Any) -> Any:
    anything, lane = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(anything, number, ir.Constant(lane, 0))
    return builder.shuffle_vector(first, anything, ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))


@intrinsic  # type: ignore[untyped-decorator]
def zeros(_: Any) -> Any:
    """A vector of zeros."""
    return VECTOR(), lambda *_: ir.Constant(_VECTOR, [0.0] * LANES)


@intrinsic  # type: ignore[untyped-decorator]
def load(_: Any, address: Any) -> Any:
    """The vector at an address, which need not be a multiple of its size."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.load(_at(builder, arguments[0]), typ=_VECTOR, align=FLOAT_BYTES)

    return VECTOR(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def load_one(_: Any, address: Any) -> Any:
    """The number at an address, in all lanes."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return _spread(builder, builder.load(_at(builder, arguments[0]), typ=ir.FloatType(), align=FLOAT_BYTES))

    return VECTOR(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def broadcast(_: Any, number: Any) -> Any:  # noqa: ARG001 (numba reads how many there are)
    """A number in all lanes."""
    return VECTOR(types.float32), lambda _, builder, __, arguments: _spread(builder, arguments[0])


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_: Any, address: Any) -> Any:
    """Have the line of the cache at an address read; any address will do."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer, number = ir.PointerType(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], form)
        to_read, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [_at(builder, arguments[0]), to_read, near, data])
        return context.get_dummy_value()

    return types.void(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(_: Any, address: Any, value: Any) -> Any:
    """Write a vector to an address, which need not be a multiple of its size."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _at(builder, arguments[0]), align=FLOAT_BYTES)
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_product(_: Any, total: Any, a: Any, b: Any) -> Any:
    """`total + a * b`, rounded once where the processor can."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        summed, *factors = arguments
        return builder.fadd(summed, builder.fmul(*factors, flags=("contract",)), flags=("contract",))

    return VECTOR(total, a, b), generate


@intrinsic  # type: ignore[untyped-decorator]
def clamp(_: Any, value: Any, low: Any, high: Any) -> Any:
    """`value` cut off below `low` and above `high`; what is no number stays."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        number, least, most = arguments
        number = builder.select(builder.fcmp_ordered("<", number, least), least, number)
        return builder.select(builder.fcmp_ordered(">", number, most), most, number)

    return VECTOR(value, low, high), generate
