# SPDX-License-Identifier: Apache-2.0
"""How tensors go through a group's shared memory.

A tensor is cut into blocks that fit a slot. Each rank fills its slot with what others need of the block, reduces its
own piece of it from everybody's slots, and takes the other pieces from those who reduced them. The three steps of three
blocks overlap, so ranks seldom wait, and a block is read while the caches still have it. Every piece is reduced by one
rank, in the order of the ranks: all ranks get the same bits, and the same ones in each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shoal.errors import CollectiveMismatchError
from shoal.util.collective.channel import Channel
from shoal.util.collective.layout import (
    DONE,
    FILLED,
    N_MAIL_SLOTS,
    N_SLOTS,
    OPERATION,
    RECEIVING,
    REDUCED,
    SENDING,
    refused_from,
    sent_to,
    taken_from,
)
from shoal.util.collective.tensors import UFUNCS, Array, check_reducible, describe, flat
from shoal.util.collective.types import ReduceOp

# Each rank reduces all of it, which saves one step: of small tensors, by their bytes in all ranks together; and of any
# size between two, where that is less work too.
DIRECT_BYTES = 1 << 15
DIRECT_RANKS = 2
ALIGN = 64  # bytes; ranks write pieces of one slot side by side

Step = Callable[[int, int], None]
"""Takes the number of a block of this operation, and of its slot."""


class Operations:
    """The operations of one rank. The tensors are numpy arrays that were looked at before (`tensors`)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._n_blocks = 0  # over all operations, the same in all ranks
        self._n_operations = 0
        self._n_sent = [0] * channel.world_size
        self._n_taken = [0] * channel.world_size

    # -- all ranks

    def barrier(self) -> None:
        self._run("barrier()", 1)

    def broadcast(self, tensor: Array, src_rank: int) -> None:
        channel = self._channel
        is_source = channel.rank == src_rank
        with flat(tensor, is_read=is_source, is_written=not is_source) as row:
            parts = channel.parts(src_rank, row.dtype)
            size = len(parts[0])

            def fill(block: int, slot: int) -> None:
                if is_source:
                    piece = row[block * size : (block + 1) * size]
                    parts[slot][: len(piece)] = piece

            def gather(block: int, slot: int) -> None:
                if not is_source:
                    piece = row[block * size : (block + 1) * size]
                    piece[:] = parts[slot][: len(piece)]

            self._run(f"broadcast({describe(tensor)}, src_rank={src_rank})", _count(len(row), size), fill, None, gather)

    def allgather(self, tensors: Sequence[Array], tensor: Array) -> None:
        channel = self._channel
        outs = [
            np.empty(tensor.size, tensor.dtype) if not out.flags.c_contiguous else out.reshape(-1) for out in tensors
        ]
        with flat(tensor) as row:
            parts = [channel.parts(rank, row.dtype) for rank in range(channel.world_size)]
            mine, size = parts[channel.rank], len(parts[0][0])

            def fill(block: int, slot: int) -> None:
                piece = row[block * size : (block + 1) * size]
                mine[slot][: len(piece)] = piece

            def gather(block: int, slot: int) -> None:
                for out, part in zip(outs, parts, strict=True):
                    piece = out[block * size : (block + 1) * size]
                    piece[:] = part[slot][: len(piece)]

            self._run(f"allgather({describe(tensor)})", _count(len(row), size), fill, None, gather)
        for tensor_out, out in zip(tensors, outs, strict=True):
            if not tensor_out.flags.c_contiguous:
                tensor_out[...] = out.reshape(tensor_out.shape)

    def allreduce(self, tensor: Array, op: ReduceOp) -> None:
        check_reducible(tensor, op)
        text = f"allreduce({describe(tensor)}, op={op.name})"
        self._reduce(text, tensor, op, range(self._channel.world_size))

    def reduce(self, tensor: Array, dst_rank: int, op: ReduceOp) -> None:
        check_reducible(tensor, op)
        text = f"reduce({describe(tensor)}, dst_rank={dst_rank}, op={op.name})"
        self._reduce(text, tensor, op, (dst_rank,))

    def reducescatter(self, tensor: Array, tensors: Sequence[Array], op: ReduceOp) -> None:
        check_reducible(tensor, op)
        channel = self._channel
        rows = [np.ascontiguousarray(one).reshape(-1) for one in tensors]
        with flat(tensor, is_read=False, is_written=True) as out:
            parts = [channel.parts(rank, out.dtype) for rank in range(channel.world_size)]
            mine, me = parts[channel.rank], channel.rank
            size = _piece(len(parts[0][0]), channel.world_size, out.dtype.itemsize)

            def fill(block: int, slot: int) -> None:
                for rank, row in enumerate(rows):
                    if rank != me:
                        piece = row[block * size : (block + 1) * size]
                        mine[slot][rank * size : rank * size + len(piece)] = piece

            def reduce(block: int, slot: int) -> None:
                piece = rows[me][block * size : (block + 1) * size]
                others = [part[slot][me * size : me * size + len(piece)] for part in parts]
                to = out[block * size : block * size + len(piece)]
                scratch, others[me] = others[me], piece
                _reduce_into(scratch, others, op)  # not into `to`, which may be one of the tensors
                to[:] = scratch

            text = f"reducescatter({describe(tensor)}, op={op.name})"
            self._run(text, _count(len(out), size), fill, reduce, None)

    def _reduce(self, text: str, tensor: Array, op: ReduceOp, takers: Sequence[int]) -> None:
        channel = self._channel
        is_taker = channel.rank in takers
        with flat(tensor, is_written=is_taker) as row:
            parts = [channel.parts(rank, row.dtype) for rank in range(channel.world_size)]
            if channel.world_size <= DIRECT_RANKS or row.nbytes * channel.world_size <= DIRECT_BYTES:
                self._reduce_directly(text, row, parts, op, takers)
                return
            mine, me, n = parts[channel.rank], channel.rank, channel.world_size
            # A last block may be shorter, and its pieces too.
            size = min(
                _piece(len(parts[0][0]), n, row.dtype.itemsize), _aligned_up(_count(len(row), n), row.dtype.itemsize)
            )

            def fill(block: int, slot: int) -> None:
                start, to = block * n * size, mine[slot]
                before = row[start : start + me * size]
                to[: len(before)] = before
                behind = row[start + (me + 1) * size : start + n * size]
                to[(me + 1) * size : (me + 1) * size + len(behind)] = behind

            def reduce(block: int, slot: int) -> None:
                start = (block * n + me) * size
                piece = row[start : start + size]
                there = slice(me * size, me * size + len(piece))
                others = [part[slot][there] for part in parts]
                out = others[me]
                others[me] = piece
                _reduce_into(out, others, op)

            def gather(block: int, slot: int) -> None:
                if is_taker:
                    start = block * n * size
                    for rank, part in enumerate(parts):
                        piece = row[start + rank * size : start + (rank + 1) * size]
                        piece[:] = part[slot][rank * size : rank * size + len(piece)]

            self._run(text, _count(len(row), n * size), fill, reduce, gather)

    def _reduce_directly(
        self, text: str, row: Array, parts: Sequence[Sequence[Array]], op: ReduceOp, takers: Sequence[int]
    ) -> None:
        me, size = self._channel.rank, len(parts[0][0])
        is_given, is_taker = any(rank != me for rank in takers), me in takers

        def fill(block: int, slot: int) -> None:
            if is_given or len(parts) > DIRECT_RANKS:
                piece = row[block * size : (block + 1) * size]
                parts[me][slot][: len(piece)] = piece

        def gather(block: int, slot: int) -> None:
            if is_taker:
                piece = row[block * size : (block + 1) * size]
                arrays = [part[slot][: len(piece)] for part in parts]
                if len(arrays) <= DIRECT_RANKS:
                    arrays[me] = piece  # it is written when it has been read: there is but one step
                _reduce_into(piece, arrays, op)

        self._run(text, _count(len(row), size), fill, None, gather)

    def _run(
        self, text: str, n_blocks: int, fill: Step | None = None, reduce: Step | None = None, gather: Step | None = None
    ) -> None:
        """The pipeline. Raises CollectiveMismatchError in every rank, with nothing done, if the texts differ."""
        channel, base, n = self._channel, self._n_blocks, self._channel.world_size
        self._n_operations += 1
        number = OPERATION + self._n_operations % 2
        written = channel.write(number, text)
        n_steps = n_blocks + (2 if reduce is not None and gather is not None else 1)
        for step in range(n_steps):
            if step < n_blocks:
                channel.wait(0, n, DONE, max(0, base + step + 1 - N_SLOTS))  # the slot's block of before has been read
                if fill is not None:
                    fill(step, (base + step) % N_SLOTS)
                channel.tell(FILLED, base + step + 1)
            block = step - 1
            if 0 <= block < n_blocks:
                channel.wait(0, n, FILLED, base + block + 1)
                if block == 0:
                    self._agree(number, written, text, base)
                if reduce is not None:
                    reduce(block, (base + block) % N_SLOTS)
                    channel.tell(REDUCED if gather is not None else DONE, base + block + 1)
                elif gather is not None:
                    gather(block, (base + block) % N_SLOTS)
                if reduce is None:
                    channel.tell(DONE, base + block + 1)
            block = step - 2
            if reduce is not None and gather is not None and 0 <= block < n_blocks:
                channel.wait(0, n, REDUCED, base + block + 1)
                gather(block, (base + block) % N_SLOTS)
                channel.tell(DONE, base + block + 1)
        self._n_blocks = base + n_blocks

    def _agree(self, number: int, written: bytes, text: str, base: int) -> None:
        error = self._channel.differing(number, written, text)
        if error is None:
            return
        # Everybody sees that, before any result is written. Those who had more blocks have filled more of them: all go
        # on at a number that none has reached.
        self._n_blocks = base + N_SLOTS
        for word in (FILLED, REDUCED, DONE):
            self._channel.tell(word, self._n_blocks)
        raise error

    # -- two ranks

    def send(self, tensor: Array, dst_rank: int) -> None:
        """Until the receiver has taken all of it."""
        channel, base = self._channel, self._n_sent[dst_rank]
        with flat(tensor) as row:
            parts = channel.mail_parts(channel.rank, row.dtype)
            size = len(parts[0])
            n_blocks = _count(len(row), size)
            text = describe(tensor)
            channel.write(SENDING, f"{n_blocks} {text}")
            taken, sent = taken_from(channel.rank), sent_to(dst_rank)
            for block in range(n_blocks):
                channel.wait(dst_rank, dst_rank + 1, taken, max(0, base + block + 1 - N_MAIL_SLOTS))
                piece = row[block * size : (block + 1) * size]
                parts[(base + block) % N_MAIL_SLOTS][: len(piece)] = piece
                channel.tell(sent, base + block + 1)
            self._n_sent[dst_rank] = base + n_blocks
            channel.wait(dst_rank, dst_rank + 1, taken, base + n_blocks)
        if channel.word_of(dst_rank, refused_from(channel.rank)) == base + n_blocks:
            wanted = channel.read(dst_rank, RECEIVING)
            raise channel.mismatch(
                f"rank {channel.rank} sent {text} to rank {dst_rank}, which receives {wanted}", (dst_rank,)
            )

    def recv(self, tensor: Array, src_rank: int) -> None:
        channel, base = self._channel, self._n_taken[src_rank]
        sent, taken = sent_to(channel.rank), taken_from(src_rank)
        wanted = describe(tensor)
        channel.write(RECEIVING, wanted)
        channel.wait(src_rank, src_rank + 1, sent, base + 1)
        count, _, offered = channel.read(src_rank, SENDING).partition(" ")
        n_blocks = int(count)
        self._n_taken[src_rank] = base + n_blocks
        if offered != wanted:
            channel.tell(refused_from(src_rank), base + n_blocks)
            channel.tell(taken, base + n_blocks)
            raise channel.mismatch(
                f"rank {channel.rank} receives {wanted}, and rank {src_rank} sent {offered}", (src_rank,)
            )
        with flat(tensor, is_read=False, is_written=True) as row:
            parts = channel.mail_parts(src_rank, row.dtype)
            size = len(parts[0])
            for block in range(n_blocks):
                channel.wait(src_rank, src_rank + 1, sent, base + block + 1)
                piece = row[block * size : (block + 1) * size]
                piece[:] = parts[(base + block) % N_MAIL_SLOTS][: len(piece)]
                channel.tell(taken, base + block + 1)

    def do(self, operation: Callable[..., None], *args: Any) -> None:
        """Run one of the operations above; one that breaks off in the middle leaves the group of no further use."""
        channel = self._channel
        if channel.reason:
            raise channel.broken()
        try:
            operation(*args)
        except (CollectiveMismatchError, TypeError):
            raise
        except BaseException as error:
            channel.give_up(error)
            raise


def _count(n_elements: int, size: int) -> int:
    """Blocks of so many elements; an empty tensor has one too."""
    return max(1, -(-n_elements // size))


def _piece(n_elements: int, n_ranks: int, item_bytes: int) -> int:
    """Elements of one of `n_ranks` pieces of a slot."""
    size = n_elements // n_ranks
    per_line = max(1, ALIGN // item_bytes)
    return max(1, size // per_line * per_line)


def _aligned_up(n_elements: int, item_bytes: int) -> int:
    per_line = max(1, ALIGN // item_bytes)
    return -(-n_elements // per_line) * per_line


def _reduce_into(out: Array, arrays: Sequence[Array], op: ReduceOp) -> None:
    """`out` is none of the arrays, unless there are at most two."""
    ufunc = UFUNCS[op]
    if len(arrays) == 1:
        out[...] = arrays[0]
    else:
        ufunc(arrays[0], arrays[1], out=out)
        for array in arrays[2:]:
            ufunc(out, array, out=out)
    if op is ReduceOp.AVERAGE:
        np.divide(out, len(arrays), out=out)
