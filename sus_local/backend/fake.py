"""A model without weights that is faithful to its KV cache, for tests of what is built on it.

Each sequence has cells; a cell holds a position, a token and a value that hashes the token and the
cells before it, as attention does. The next token is a hash of all cells. So a cell that is stale,
missing, doubled or of another sequence changes the answer.

Text is UTF-8, one token a byte, so that every character outside ASCII is split over tokens.

>>> fake = Fake()
>>> fake.tokenize("é"), fake.token_bytes(198)
([198, 172], b'\\xc3')
"""

from __future__ import annotations

import math
import struct
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sus_local.backend.base import DecodeAborted, ModelInfo, Slice
from sus_local.errors import BackendError, GrammarError
from sus_local.results import TokenLogprob
from sus_local.sampling import SamplingParams

_EOS = 2
_FIRST_BYTE = 3
_NUM_VOCAB = _FIRST_BYTE + 256
_CELL = struct.Struct("<iiQ")


@dataclass(eq=False, slots=True)
class Cell:
    """One cell: where, which token, and what attention made of it."""

    position: int
    token_id: int
    value: int


def _hash(*numbers: int) -> int:
    packed = array("Q", [number & (2**64 - 1) for number in numbers]).tobytes()
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "little")


class Fake:
    """See the module.

    Args:
        n_ctx: Cells in all.
        n_batch: The most tokens in one decode.
        n_ubatch: The most of one request; 0 stands for as many.
        max_sequences: Sequences besides the spare one.
        end_every: One in so many next tokens ends the answer; 0 never.
        script: Answers instead of hashes: the bytes that follow a prompt, given its tokens.
        delay_s: How long a decode takes, for tests of cancelling.
        draft_max: See :class:`sus_local.backend.base.ModelInfo`.
        num_letters: Bytes that answers are made of; of few of them parts come back.
        forced: Tokens that have to follow a sampled one, as under a grammar.
    """

    def __init__(
        self,
        *,
        n_ctx: int = 512,
        n_batch: int = 32,
        n_ubatch: int = 0,
        max_sequences: int = 4,
        end_every: int = 16,
        script: Callable[[list[int]], bytes] | None = None,
        delay_s: float = 0.0,
        metadata: Mapping[str, str] | None = None,
        fingerprint: str = "fake",
        can_shift: bool = True,
        min_chunk_tokens: int = 0,
        draft_max: int = 0,
        num_letters: int = 95,
        forced: Callable[[int], Sequence[int]] = lambda token_id: (),
    ) -> None:
        self._info = ModelInfo(
            name="fake",
            fingerprint=fingerprint,
            n_ctx=n_ctx,
            n_ctx_train=n_ctx,
            n_batch=n_batch,
            n_ubatch=n_ubatch or n_batch,
            n_vocab=_NUM_VOCAB,
            max_sequence_id=max_sequences,
            eos=_EOS,
            end_token_ids=frozenset({_EOS}),
            num_kv_bytes_per_token=_CELL.size,
            metadata=dict(metadata or {}),
            can_shift=can_shift,
            min_chunk_tokens=min_chunk_tokens,
            draft_max=draft_max,
        )
        self._end_every = end_every
        self._num_letters = num_letters
        self._script = script
        self._delay_s = delay_s
        self.forced = forced
        self._sequences: list[list[Cell]] = [[] for _ in range(max_sequences + 1)]
        self._shifted: dict[int, Cell] = {}
        self._rows: dict[int, list[Cell]] = {}
        self._aborted = threading.Event()
        self.num_decoded_tokens = 0
        self.num_rests = 0
        self.closed = False
        self.fail_next: str | None = None

    @property
    def info(self) -> ModelInfo:
        """The facts of this model."""
        return self._info

    @property
    def num_used_cells(self) -> int:
        """Cells with at least one owner."""
        return len({id(cell) for cells in self._sequences for cell in cells})

    def cells(self, sequence_id: int) -> list[tuple[int, int]]:
        """Position and token of each cell of a sequence."""
        return [(cell.position, cell.token_id) for cell in self._sequences[sequence_id]]

    def tokenize(self, text: str) -> list[int]:
        """One token a byte."""
        return [_FIRST_BYTE + byte for byte in text.encode()]

    def token_bytes(self, token_id: int) -> bytes:
        """The byte of a token; control tokens stand for nothing."""
        return b"" if token_id < _FIRST_BYTE else bytes([token_id - _FIRST_BYTE])

    def decode(self, slices: Sequence[Slice]) -> None:
        """Fill cells; refuse what llama.cpp refuses."""
        self._check(slices)
        if self._delay_s:
            self._wait()
        if self._aborted.is_set():
            self._break_shift()
            self._compute_half(slices[0])
            raise DecodeAborted
        if self.fail_next is not None:
            self._break_shift()
            message, self.fail_next = self.fail_next, None
            raise BackendError(message)
        self._shifted.clear()
        self._rows = {}
        row = 0
        for piece in slices:
            for offset, token_id in enumerate(piece.token_ids):
                self._append(piece.sequence_id, piece.position + offset, token_id)
                if offset >= len(piece.token_ids) - piece.num_outputs:
                    self._rows[row] = list(self._sequences[piece.sequence_id])
                row += 1
        self.num_decoded_tokens += row

    def abort(self) -> None:
        """Let decodes end early."""
        self._aborted.set()

    def clear_abort(self) -> None:
        """Let decodes run again."""
        self._aborted.clear()

    def rest(self) -> None:
        """Count the rests."""
        self.num_rests += 1

    def sampler(
        self, params: SamplingParams, *, seed: int, past_token_ids: Sequence[int]
    ) -> FakeSampler:
        """A sampler; a grammar of ``"invalid"`` cannot be compiled."""
        if params.grammar == "invalid":
            raise GrammarError("the grammar cannot be compiled")
        return FakeSampler(self, params, seed)

    def logprob(self, row: int, token_id: int, top: int = 0) -> TokenLogprob:
        """Certainty: the fake has one opinion."""
        return TokenLogprob(token_id, 0.0, ((token_id, 0.0),) if top else ())

    def embed(self, token_ids: Sequence[int]) -> list[float]:
        """A direction that the tokens decide."""
        angle = _hash(*token_ids) % 360
        return [math.cos(math.radians(angle)), math.sin(math.radians(angle))]

    def next_token(self, row: int, salt: int = 0) -> int:
        """The token that the cells at a row ask for."""
        cells = self._rows[row]
        if self._script is not None:
            return self._scripted([cell.token_id for cell in cells])
        number = _hash(salt, *(part for cell in cells for part in (cell.position, cell.value)))
        if self._end_every and number % self._end_every == 0:
            return _EOS
        return _FIRST_BYTE + 32 + number // 64 % self._num_letters

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Share cells."""
        cells = self._sequences[source]
        self._sequences[target] += [cell for cell in cells if start <= cell.position < end]
        self._sort(target)

    def remove(self, sequence_id: int, start: int, end: int = -1) -> None:
        """Take cells away."""
        stop = end if end >= 0 else self._info.n_ctx * 2
        cells = self._sequences[sequence_id]
        self._sequences[sequence_id] = [c for c in cells if not start <= c.position < stop]

    def shift(self, sequence_id: int, start: int, delta: int) -> None:
        """Move cells, those shared with others too, as llama.cpp does."""
        for cell in self._sequences[sequence_id]:
            if cell.position >= start:
                cell.position += delta
                self._shifted[id(cell)] = cell

    def save(self, sequence_id: int) -> bytes:
        """All cells of a sequence as bytes."""
        cells = self._sequences[sequence_id]
        if any(id(cell) in self._shifted for cell in cells):
            raise AssertionError("saved between a shift and the decode that carries it out")
        return b"".join(_CELL.pack(c.position, c.token_id, c.value) for c in cells)

    def restore(self, sequence_id: int, payload: bytes) -> bool:
        """Cells from bytes, if they fit."""
        count, rest = divmod(len(payload), _CELL.size)
        if rest or self.num_used_cells + count > self._info.n_ctx:
            return False
        self._sequences[sequence_id] = [Cell(*fields) for fields in _CELL.iter_unpack(payload)]
        return True

    def close(self) -> None:
        """Forget everything."""
        self.closed = True

    def _append(self, sequence_id: int, position: int, token_id: int) -> None:
        cells = self._sequences[sequence_id]
        before = cells[-1].value if cells else 0
        cells.append(Cell(position, token_id, _hash(before, len(cells), token_id)))

    def _check(self, slices: Sequence[Slice]) -> None:
        total = sum(len(piece.token_ids) for piece in slices)
        if self.closed or not 0 < total <= self._info.n_batch:
            raise AssertionError(f"a batch of {total} tokens, closed={self.closed}")
        if self.num_used_cells + total > self._info.n_ctx:
            raise BackendError(f"no cells for {total} tokens", num_tokens=total)
        for piece in slices:
            cells = self._sequences[piece.sequence_id]
            expected = cells[-1].position + 1 if cells else 0
            if piece.position != expected:
                raise AssertionError(
                    f"sequence {piece.sequence_id}: position {piece.position}, not {expected}"
                )

    def _compute_half(self, piece: Slice) -> None:
        """An aborted decode leaves what it had computed, as llama.cpp's does."""
        for offset, token_id in enumerate(piece.token_ids[: len(piece.token_ids) // 2]):
            self._append(piece.sequence_id, piece.position + offset, token_id)

    def _break_shift(self) -> None:
        """An aborted decode may have turned the keys of some layers, and not of others."""
        for cell in self._shifted.values():
            cell.value ^= 1

    def _wait(self) -> None:
        end = time.monotonic() + self._delay_s
        while time.monotonic() < end and not self._aborted.wait(0.001):
            pass

    def _sort(self, sequence_id: int) -> None:
        self._sequences[sequence_id].sort(key=lambda cell: cell.position)

    def _scripted(self, token_ids: list[int]) -> int:
        """The script's next byte for the prompt that ends after its last ``### Assistant: ``."""
        text = bytes(b for t in token_ids for b in self.token_bytes(t))
        _, mark, said = text.rpartition(b"### Assistant: ")
        prompt = token_ids[: len(token_ids) - len(said)]
        answer = self._script(prompt) if self._script is not None and mark else b""
        return _FIRST_BYTE + answer[len(said)] if len(said) < len(answer) else _EOS


class FakeSampler:
    """Greedy takes the hash; otherwise the seed goes into it."""

    def __init__(self, fake: Fake, params: SamplingParams, seed: int) -> None:
        self._fake = fake
        self._salt = 0 if params.greedy else 1 + seed
        self._last = _EOS

    def sample(self, row: int) -> int:
        """The next token."""
        self._last = self._fake.next_token(row, self._salt)
        return self._last

    def forced(self) -> Sequence[int]:
        """What the fake says."""
        return self._fake.forced(self._last)

    def close(self) -> None:
        """Nothing to free."""
