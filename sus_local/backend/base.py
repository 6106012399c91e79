"""What the engine asks of a model: tokens in, KV cells moved, logits sampled.

Two classes speak this protocol: :class:`sus_local.backend.llama_cpp.LlamaCpp` and the faithful
:class:`sus_local.backend.fake.Fake`. Token ids only; text exists at the two doors ``tokenize`` and
``token_bytes``. All methods but :meth:`Backend.abort`, :meth:`Backend.embed` and the text doors
belong to one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sus_local.results import TokenLogprob
from sus_local.sampling import SamplingParams


class DecodeAborted(Exception):  # noqa: N818 - a signal between engine and backend, no failure
    """A decode ended early because :meth:`Backend.abort` was called; its batch has to be undone."""


class Slice(NamedTuple):
    """Consecutive tokens of one sequence in a batch; a tuple, since one is made for each token.

    Attributes:
        sequence_id: The sequence in the KV cache.
        position: Place of the first token.
        token_ids: The tokens.
        num_outputs: How many tokens at its end need logits.
    """

    sequence_id: int
    position: int
    token_ids: Sequence[int]
    num_outputs: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts of a loaded model.

    Attributes:
        name: For people: ``general.name`` of the file, else the file's name.
        fingerprint: Changes whenever KV blocks of another run may not be used: another model file,
            KV type, attention kernel or llama.cpp build.
        n_ctx: Cells of the KV cache, shared by all sequences.
        n_ctx_train: The context that the model was trained for.
        n_batch: The most tokens in one decode.
        n_ubatch: The most of them that are computed at once.
        n_vocab: Size of the vocabulary.
        max_sequence_id: Sequence ids run from 0 up to this one.
        eos: The token that ends an answer.
        end_token_ids: All tokens that end one.
        num_kv_bytes_per_token: Size of one token's KV.
        metadata: The file's own texts, by GGUF key.
        can_shift: Whether KV can be moved to other positions.
        min_chunk_tokens: The fewest tokens that a prefill is worth being cut into, where a decode
            runs to its end, as on a GPU; 0 where :meth:`Backend.abort` ends it.
        draft_max: The most tokens that are guessed to follow and computed together with one that is
            decoded; 0 where that brings nothing.
    """

    name: str
    fingerprint: str
    n_ctx: int
    n_ctx_train: int
    n_batch: int
    n_ubatch: int
    n_vocab: int
    max_sequence_id: int
    eos: int
    end_token_ids: frozenset[int]
    num_kv_bytes_per_token: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    can_shift: bool = True
    min_chunk_tokens: int = 0
    draft_max: int = 0


class Sampler(Protocol):
    """Picks tokens for one answer, and remembers what it picked."""

    def sample(self, row: int) -> int:
        """The next token from the logits of batch row ``row``; it counts as picked."""
        ...

    def forced(self) -> Sequence[int]:
        """What has to follow the tokens picked so far, whatever the model says; it counts as
        picked."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Backend(Protocol):
    """A model with its KV cache."""

    @property
    def info(self) -> ModelInfo:
        """The model's facts."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Plain text → token ids; control tokens in it stay text."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes that a token stands for, perhaps a part of a character."""
        ...

    def decode(self, slices: Sequence[Slice]) -> None:
        """Compute a batch, to its end. Its rows are numbered over all slices, from 0.

        Raises:
            DecodeAborted: See there.
            BackendError: llama.cpp failed.
        """
        ...

    def abort(self) -> None:
        """End the decode that runs now, where one can be ended, or next; until
        :meth:`clear_abort`, from any thread."""
        ...

    def clear_abort(self) -> None:
        """Let decodes run again."""
        ...

    def rest(self) -> None:
        """Nothing is to be decoded for now: let go what others in this process could use."""
        ...

    def sampler(
        self, params: SamplingParams, *, seed: int, past_token_ids: Sequence[int]
    ) -> Sampler:
        """A sampler; ``past_token_ids`` is what penalties see before the first token.

        Raises:
            GrammarError: The grammar or schema cannot be compiled.
        """
        ...

    def logprob(self, row: int, token_id: int, top: int = 0) -> TokenLogprob:
        """The log-probability of a token at a batch row, with the ``top`` most likely ones."""
        ...

    def embed(self, token_ids: Sequence[int]) -> list[float]:
        """The embedding of a text, of length 1; from any thread, beside what is decoded.

        Raises:
            RequestError: The model was not made for embeddings.
            EngineClosedError: It was closed, perhaps meanwhile.
        """
        ...

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Let sequence ``target`` share the cells ``[start, end)`` of ``source``."""
        ...

    def remove(self, sequence_id: int, start: int, end: int = -1) -> None:
        """Remove ``[start, end)`` from a sequence; -1 is its end."""
        ...

    def shift(self, sequence_id: int, start: int, delta: int) -> None:
        """Add ``delta`` to the positions from ``start`` on; takes effect at the next decode."""
        ...

    def save(self, sequence_id: int) -> bytes:
        """The KV of a sequence, as bytes that :meth:`restore` takes."""
        ...

    def restore(self, sequence_id: int, payload: bytes) -> bool:
        """Put saved KV into an empty sequence; False if the cache did not take it."""
        ...

    def close(self) -> None:
        """Free the model and its context."""
        ...
