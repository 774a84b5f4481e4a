"""The two innermost steps of the fused attention as vector instructions: products with rows, weighted sums of rows.

Numba's own loops could do the same; these keep a vector, or its sums, in registers over all its edges and ask for
memory ahead of time, which Numba cannot say. What that is worth end to end: benchmarks/README.md. The instructions
are LLVM's portable vectors, which it lowers to AVX-512, AVX2, NEON …: nothing here is for one processor.

A table is an array (rows, parts, heads · dim) of float32, float64, or bfloat16 as 16-bit integers; arithmetic is in
`real`. Edge i stands for the table's row `columns[first + i] - column_from`, and its vector `part`. `heads` and `dim`
must be constants where these are called; `dim` is a multiple of 8. `last` is the last place of `columns`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

EDGES_AHEAD = 8
"""How many edges ahead rows are asked for."""
REGISTERS = 16
"""Vectors held in registers at once; wider rows are done in several turns over the edges."""
CACHE_LINE = 64

BYTE, HALF, WORD, LONG = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)


@intrinsic(prefer_literal=True)
@no_type_check  # Numba reads the signatures: names only
def dots(typing_context, heads, dim, vector, table, part, columns, first, count, column_from, last, out):
    """out[i, h] = vector[h] · row(i)[h], for the edges i < count; vector is (heads · dim), out (…, heads) or wider."""
    names = ("heads", "dim", "vector", "table", "part", "columns", "first", "count", "column_from", "last", "out")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        step = _Step(context, builder, names, signature.args, arguments, real=vector.dtype)
        for heads_here in step.groups():
            asked = {at: step.load("vector", at) for at in step.vectors_of(heads_here)}
            with step.each_edge(heads_here) as (i, row):
                for head in heads_here:
                    total = None
                    for at in step.vectors_of([head]):
                        total = step.multiply_add(asked[at], step.load_row(row, at), total)
                    step.store_number(step.sum_of(total), "out", i, head)
        return context.get_dummy_value()

    return types.void(heads, dim, vector, table, part, columns, first, count, column_from, last, out), emit


@intrinsic(prefer_literal=True)
@no_type_check
def weighted_sum(
    typing_context, heads, dim, weights, offset, table, part, columns, first, count, column_from, last, out
):
    """out[h] += Σ weights[i, offset + h] · row(i)[h] over the edges i < count; out is (heads · dim)."""
    names = (
        "heads", "dim", "weights", "offset", "table", "part", "columns", "first", "count", "column_from", "last", "out"
    )  # fmt: skip

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        step = _Step(context, builder, names, signature.args, arguments, real=weights.dtype)
        for heads_here in step.groups():
            sums = {at: cgutils.alloca_once(builder, step.vector) for at in step.vectors_of(heads_here)}
            for at, kept in sums.items():
                builder.store(step.load("out", at), kept)
            with step.each_edge(heads_here) as (i, row):
                for head in heads_here:
                    weight = step.spread(step.load_number("weights", i, head, offset=step.value["offset"]))
                    for at in step.vectors_of([head]):
                        so_far = builder.load(sums[at])
                        builder.store(step.multiply_add(weight, step.load_row(row, at), so_far), sums[at])
            for at, kept in sums.items():
                step.store(builder.load(kept), "out", at)
        return context.get_dummy_value()

    signature = (heads, dim, weights, offset, table, part, columns, first, count, column_from, last, out)
    return types.void(*signature), emit


def rows_together(dim: int) -> int:
    """Give how many rows `times_matrix` should take at once, so that their sums stay in registers: 1 to 8."""
    return min(8, max(1, REGISTERS * 16 // dim))


@intrinsic(prefer_literal=True)
@no_type_check
def times_matrix(typing_context, heads, dim, together, table, part, rows, first, weight, out):
    """out[i, h] = (table[rows[first + i], part] of head h) · weight[h] for i < together, a constant; out is real."""
    names = ("heads", "dim", "together", "table", "part", "rows", "first", "weight", "out")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        step = _Step(context, builder, names, signature.args, arguments, real=weight.dtype)
        lines = [
            step.table_row(step.load_index("rows", r), step.value["part"]) for r in range(step.constant("together"))
        ]
        vectors = range(0, step.dim, step.lanes)
        with cgutils.for_range(builder, LONG(step.heads), intp=LONG) as head:
            sums = [[cgutils.alloca_once(builder, step.vector) for _ in vectors] for _ in lines]
            for kept in (each for line in sums for each in line):
                builder.store(ir.Constant(step.vector, None), kept)
            start = builder.mul(head.index, LONG(step.dim))
            with cgutils.for_range(builder, LONG(step.dim), intp=LONG) as i:
                row = builder.add(start, i.index)
                weights = [step.load_far("weight", builder.mul(row, LONG(step.dim)), at) for at in vectors]
                for line, kept in zip(lines, sums, strict=True):
                    number = step.spread(step.load_entry(line, row))
                    for w, each in zip(weights, kept, strict=True):
                        builder.store(step.multiply_add(number, w, builder.load(each)), each)
            for r, kept in enumerate(sums):
                place = builder.add(LONG(r * step.heads * step.dim), start)
                for at, each in zip(vectors, kept, strict=True):
                    step.store_far(builder.load(each), "out", place, at)
        return context.get_dummy_value()

    return types.void(heads, dim, together, table, part, rows, first, weight, out), emit


class _Step:
    """Writes the instructions of one call. Places in a row are counted in numbers: `at` is where a vector begins."""

    def __init__(
        self, context: Any, builder: Any, names: tuple[str, ...], kinds: tuple[Any, ...], arguments: Any, *, real: Any
    ) -> None:
        self.builder = builder
        self.value = {
            name: context.cast(builder, argument, kind, types.intp) if isinstance(kind, types.Integer) else argument
            for name, kind, argument in zip(names, kinds, arguments, strict=True)
        }
        self.kind = dict(zip(names, kinds, strict=True))
        self.array = {
            name: context.make_array(kind)(context, builder, self.value[name])
            for name, kind in self.kind.items()
            if isinstance(kind, types.Array)
        }
        self.heads, self.dim = self.kind["heads"].literal_value, self.kind["dim"].literal_value
        self.real = ir.FloatType() if real.bitwidth == 32 else ir.DoubleType()
        self.real_bytes = real.bitwidth // 8
        self.lanes = 16 if real.bitwidth == 32 and self.dim % 16 == 0 else 8
        self.vector = ir.VectorType(self.real, self.lanes)

    def groups(self) -> list[range]:
        """The heads, in groups whose vectors fit the registers."""
        together = max(1, REGISTERS * self.lanes // self.dim)
        return [range(head, min(head + together, self.heads)) for head in range(0, self.heads, together)]

    def vectors_of(self, heads: range | list[int]) -> list[int]:
        return [at for head in heads for at in range(head * self.dim, (head + 1) * self.dim, self.lanes)]

    @contextmanager
    def each_edge(self, heads: range) -> Iterator[tuple[Any, Any]]:
        """Loop over the edges: gives each one's number and the address of its row."""
        builder, entry = self.builder, self.kind["table"].dtype.bitwidth // 8
        row_bytes, part_bytes = cgutils.unpack_tuple(builder, self.array["table"].strides)[:2]
        table = self._at(self.array["table"].data, builder.mul(self.value["part"], part_bytes))
        from_byte, to_byte = heads[0] * self.dim * entry, (heads[-1] + 1) * self.dim * entry

        def row_of(edge: Any) -> Any:
            place = self._at(self.array["columns"].data, builder.mul(edge, LONG(4)), WORD)
            column = builder.sext(builder.load(place), LONG)
            return self._at(table, builder.mul(builder.sub(column, self.value["column_from"]), row_bytes))

        with cgutils.for_range(builder, self.value["count"], intp=LONG) as loop:
            edge = builder.add(self.value["first"], loop.index)
            ahead = builder.add(edge, LONG(EDGES_AHEAD))
            known = builder.icmp_signed("<", ahead, self.value["last"])
            coming = row_of(builder.select(known, ahead, self.value["last"]))
            for byte in range(from_byte, to_byte, CACHE_LINE):
                self._prefetch(self._at(coming, LONG(byte)))
            yield loop.index, row_of(edge)

    def constant(self, name: str) -> int:
        return int(self.kind[name].literal_value)

    def table_row(self, row: Any, part: Any) -> Any:
        """The address of a table's row, at its vector `part`."""
        row_bytes, part_bytes = cgutils.unpack_tuple(self.builder, self.array["table"].strides)[:2]
        offset = self.builder.add(self.builder.mul(row, row_bytes), self.builder.mul(part, part_bytes))
        return self._at(self.array["table"].data, offset)

    def load_index(self, name: str, i: int) -> Any:
        """Entry first + i of an array of 64-bit integers."""
        place = self.builder.mul(self.builder.add(self.value["first"], LONG(i)), LONG(8))
        return self.builder.load(self._at(self.array[name].data, place, LONG))

    def load_entry(self, row: Any, at: Any) -> Any:
        """One number of a table's row, as a real one."""
        kind = self.kind["table"].dtype
        offset = self.builder.mul(at, LONG(kind.bitwidth // 8))
        if not isinstance(kind, types.Integer):
            return self.builder.load(self._at(row, offset, self.real))
        bits = self.builder.zext(self.builder.load(self._at(row, offset, HALF)), WORD)
        return self.builder.bitcast(self.builder.shl(bits, WORD(16)), ir.FloatType())

    def load_far(self, name: str, start: Any, at: int) -> Any:
        return self.builder.load(self._far(name, start, at), align=self.real_bytes)

    def store_far(self, values: Any, name: str, start: Any, at: int) -> None:
        self.builder.store(values, self._far(name, start, at), align=self.real_bytes)

    def _far(self, name: str, start: Any, at: int) -> Any:
        """The address of the vector `at` numbers behind number `start` of a contiguous array."""
        offset = self.builder.mul(self.builder.add(start, LONG(at)), LONG(self.real_bytes))
        return self._at(self.array[name].data, offset, self.vector)

    def load_row(self, row: Any, at: int) -> Any:
        """A vector of a table's row, as real numbers; bfloat16 is the upper half of a float32."""
        kind = self.kind["table"].dtype
        offset = LONG(at * kind.bitwidth // 8)
        if not isinstance(kind, types.Integer):
            return self.builder.load(self._at(row, offset, self.vector), align=self.real_bytes)
        words = ir.VectorType(WORD, self.lanes)
        halves = self.builder.load(self._at(row, offset, ir.VectorType(HALF, self.lanes)), align=2)
        bits = self.builder.zext(halves, words)
        shift = ir.Constant(words, [16] * self.lanes)
        return self.builder.bitcast(self.builder.shl(bits, shift), ir.VectorType(ir.FloatType(), self.lanes))

    def load(self, name: str, at: int) -> Any:
        place = self._at(self.array[name].data, LONG(at * self.real_bytes), self.vector)
        return self.builder.load(place, align=self.real_bytes)

    def store(self, values: Any, name: str, at: int) -> None:
        place = self._at(self.array[name].data, LONG(at * self.real_bytes), self.vector)
        self.builder.store(values, place, align=self.real_bytes)

    def load_number(self, name: str, row: Any, column: int, *, offset: Any) -> Any:
        return self.builder.load(self._entry(name, row, self.builder.add(offset, LONG(column))))

    def store_number(self, number: Any, name: str, row: Any, column: int) -> None:
        self.builder.store(number, self._entry(name, row, LONG(column)))

    def spread(self, number: Any) -> Any:
        """The same number in every lane."""
        nothing, zeros = ir.Constant(self.vector, ir.Undefined), ir.Constant(ir.VectorType(WORD, self.lanes), None)
        first = self.builder.insert_element(nothing, number, WORD(0))
        return self.builder.shuffle_vector(first, nothing, zeros)

    def multiply_add(self, a: Any, b: Any, c: Any | None) -> Any:
        if c is None:
            return self.builder.fmul(a, b)
        return self.builder.call(self._function("llvm.fmuladd", self.vector, [self.vector] * 3), [a, b, c])

    def sum_of(self, values: Any) -> Any:
        """Σ of a vector's lanes, in whatever order is fastest."""
        add = self._function("llvm.vector.reduce.fadd", self.real, [self.real, self.vector])
        return self.builder.call(add, [self.real(-0.0), values], fastmath=("reassoc",))

    def _function(self, name: str, gives: Any, takes: list[Any]) -> Any:
        suffix = f"v{self.lanes}f{8 * self.real_bytes}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(gives, takes), f"{name}.{suffix}")

    def _prefetch(self, place: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), WORD, WORD, WORD])
        hint = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        to_read, keep_in_all_levels, data = WORD(0), WORD(3), WORD(1)
        self.builder.call(hint, [place, to_read, keep_in_all_levels, data])

    def _entry(self, name: str, row: Any, column: Any) -> Any:
        row_bytes = cgutils.unpack_tuple(self.builder, self.array[name].strides)[0]
        start = self.builder.mul(row, row_bytes)
        offset = self.builder.add(start, self.builder.mul(column, LONG(self.real_bytes)))
        return self._at(self.array[name].data, offset, self.real)

    def _at(self, base: Any, offset: Any, kind: Any = BYTE) -> Any:
        """The address some bytes behind another, as that of a `kind`."""
        moved = self.builder.gep(self.builder.bitcast(base, BYTE.as_pointer()), [offset])
        return self.builder.bitcast(moved, kind.as_pointer())
