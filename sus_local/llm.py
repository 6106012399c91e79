"""A loaded model that answers: :class:`LLM`.

>>> from sus_local.backend.fake import Fake
>>> with LLM(Fake(script=lambda prompt: b"Hello!")) as llm:
...     llm.generate([{"role": "user", "content": "hi"}]).text
'Hello!'
"""

from __future__ import annotations

import contextlib
import secrets
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus_local import template
from sus_local.backend.base import Backend
from sus_local.engine.engine import Engine
from sus_local.engine.loop import EngineLoop, Ticket
from sus_local.engine.sequence import Request, Shift
from sus_local.errors import SamplingError
from sus_local.feeds import AsyncFeed, Channel, Feed, Scores
from sus_local.kv.blocks import root_key
from sus_local.kv.store import BlockStore
from sus_local.kv.tiers import RamTier
from sus_local.prompt import Prompt, PromptEncoder
from sus_local.results import Piece, Result
from sus_local.sampling import NUM_SEEDS, SamplingParams, checked
from sus_local.stream import Answer, Stream

if TYPE_CHECKING:
    import numpy as np

    from sus_local.conversation import Conversation
    from sus_local.turn import Turn
    from sus_local.window import Overflow

DEFAULT_KV_RAM_BYTES = 1 << 30
DEFAULT_MAX_SEQUENCES = 4


class LLM:
    """A model that answers, for any number of threads at once.

    One that is dropped without :meth:`close` is freed all the same, with a ``ResourceWarning``.

    Args:
        backend: The model.
        store: The prompt cache; None keeps 1 GiB in RAM.
        max_sequences: Requests that run at once.
        path: The file it came from.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        store: BlockStore | None = None,
        max_sequences: int = DEFAULT_MAX_SEQUENCES,
        path: Path | None = None,
    ) -> None:
        self.path = path
        self._backend = backend
        self._info = backend.info
        self._defaults = _sampling_defaults(self._info.metadata)
        self.root = root_key(self._info.fingerprint)
        if store is None:
            store = BlockStore(RamTier(DEFAULT_KV_RAM_BYTES))
        engine = Engine(backend, store, max_sequences=max_sequences)
        self._loop = EngineLoop(engine)
        # Neither these nor the engine's thread hold the model: it could not be dropped.
        self._encoder = PromptEncoder(backend, partial(store.following, self.root))
        self._at_drop = weakref.finalize(self, _stop, self._loop, self.name)
        self._at_drop.atexit = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self._info.name

    @property
    def n_ctx(self) -> int:
        """Tokens that the context holds, prompt and answer together."""
        return self._info.n_ctx

    @property
    def eos(self) -> int:
        """The token that ends an answer."""
        return self._info.eos

    @property
    def fingerprint(self) -> str:
        """Names model file, KV type and llama.cpp build: where KV may be used again."""
        return self._info.fingerprint

    @property
    def metadata(self) -> Mapping[str, str]:
        """The GGUF file's metadata, as text."""
        return self._info.metadata

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text; control tokens in it stay text."""
        return self._encoder.tokenize(text)

    def check_length(self, text: str) -> None:
        """See :meth:`sus_local.prompt.PromptEncoder.check_length`."""
        self._encoder.check_length(text)

    def detokenize(self, token_ids: Iterable[int]) -> str:
        """The text of token ids; control tokens stand for nothing."""
        found = self._encoder.check_ids(token_ids)
        joined = b"".join(self._backend.token_bytes(token_id) for token_id in found)
        return joined.decode("utf-8", errors="replace")

    def answer_tokens(self, result: Result) -> tuple[int, ...]:
        """See :meth:`sus_local.prompt.PromptEncoder.answer_tokens`."""
        return self._encoder.answer_tokens(result)

    def render(self, messages: Iterable[template.Message]) -> str:
        """The exact prompt of a conversation, as text."""
        return template.render(messages)

    def encode(
        self, messages: Iterable[template.Message], *, history: template.History = "exact"
    ) -> list[int]:
        """The exact prompt of a conversation, as token ids.

        An answer of this model that comes back as text takes its own tokens again, so that its KV
        is found; ``history="retokenize"`` encodes the text anew, as the transformers loop does.
        An answer that this object did not give is looked for in the prompt cache.

        Raises:
            MessagesError: The messages are no conversation.
            EngineClosedError: The model was closed.
        """
        return self._encoder.messages(messages, history)

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: SamplingParams | None = None,
        history: template.History = "exact",
    ) -> Result:
        """One whole answer; see :meth:`stream`."""
        return self.stream(prompt, sampling=sampling, history=history).result

    def stream(
        self,
        prompt: Prompt,
        *,
        sampling: SamplingParams | None = None,
        history: template.History = "exact",
    ) -> Stream:
        """An answer as it comes; returns at once.

        Args:
            prompt: Plain text, messages, or token ids.
            sampling: None: the model's defaults.
            history: See :meth:`encode`.

        Raises:
            ContextOverflowError: The prompt does not fit.
            MessagesError: The messages are no conversation.
            EngineClosedError: The model was closed.
        """
        sampling = self.fill(sampling)
        channel = Channel(sampling.n)
        encoded = self._encoder.encode(prompt, history)
        self.submit(encoded.token_ids, sampling, channel, on_done=encoded.remember)
        return Stream(channel, sampling.n, model=self)

    async def agenerate(
        self,
        prompt: Prompt,
        *,
        sampling: SamplingParams | None = None,
        history: template.History = "exact",
    ) -> Result:
        """:meth:`generate` for asyncio; cancelling the task ends the answer."""
        async for piece in self.astream(prompt, sampling=sampling, history=history):
            if piece.result is not None and piece.index == 0:
                found = piece.result
        return found

    async def astream(
        self,
        prompt: Prompt,
        *,
        sampling: SamplingParams | None = None,
        history: template.History = "exact",
    ) -> AsyncIterator[Piece]:
        """:meth:`stream` for asyncio; leaving the loop ends the answer."""
        import asyncio

        sampling = self.fill(sampling)
        feed = AsyncFeed()
        num_open = sampling.n
        # Not on the event loop: a megabyte of text takes seconds.
        encoded = await asyncio.to_thread(self._encoder.encode, prompt, history)
        self.submit(encoded.token_ids, sampling, feed, on_done=encoded.remember)
        try:
            while num_open:
                piece = await feed.get()
                num_open -= piece.result is not None
                yield piece
        finally:
            if num_open:
                feed.cancel()

    def score(self, token_ids: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Natural log-probabilities of ``token_ids[1:]``, each after all tokens before it.

        Returns:
            An array of ``len(token_ids) - 1`` numbers.
        """
        import numpy as np

        ids = tuple(self._encoder.check_ids(token_ids))
        scores = Scores()
        if len(ids) != 1:
            greedy = SamplingParams(temperature=0)
            ticket = self._loop.submit(Request(ids, greedy, scores, self.root, scored=True))
            scores.wait(ticket)
        return np.array(scores.logprobs, dtype=np.float64)

    def embed(self, text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The embedding of a text, a vector of length 1.

        Raises:
            RequestError: The model was not made for embeddings; chat models are not.
        """
        import numpy as np

        self._loop.check_open()
        return np.array(self._backend.embed(self.tokenize(text)), dtype=np.float64)

    def conversation(
        self,
        system: str | None = None,
        *,
        overflow: Overflow = "shift",
        turns: Iterable[Turn] = (),
        active: int | None = None,
    ) -> Conversation:
        """A conversation with this model.

        Args:
            system: Text before the first turn.
            overflow: What happens when the context is full: ``"shift"`` (the oldest turns go, the
                rest moves), ``"rebuild"`` (the rest is computed anew) or ``"error"``.
            turns: Saved turns to go on from.
            active: Id of the last turn of the branch to go on from; None takes the newest.
        """
        from sus_local.conversation import Conversation

        self._encoder.tell_other_format()
        return Conversation(self, system=system, overflow=overflow, turns=turns, active=active)

    def fill(self, sampling: SamplingParams | None) -> SamplingParams:
        """Parameters with every default filled in; for what is built on this class.

        Raises:
            SamplingError: They mean nothing to this model.
        """
        params, num_tokens = checked(sampling), self._info.n_vocab
        for token_id in params.stop_token_ids:
            if not 0 <= token_id < num_tokens:
                raise SamplingError(
                    f"stop_token_ids names token {token_id}, the vocabulary has {num_tokens}",
                    token_id=token_id,
                    n_vocab=num_tokens,
                )
        return params.with_defaults(self._defaults)

    def submit(
        self,
        token_ids: Sequence[int],
        sampling: SamplingParams,
        feed: Feed,
        *,
        root: bytes | None = None,
        shift: Shift | None = None,
        notices: tuple[str, ...] = (),
        on_done: Callable[[Result], None] | None = None,
        extend: Callable[[Answer, tuple[int, ...]], tuple[str, ...] | None] | None = None,
    ) -> None:
        """Leave ``sampling.n`` requests for one prompt; for what is built on this class.

        Args:
            sampling: From :meth:`fill`.
        """
        prompt = tuple(token_ids)
        for index in range(sampling.n):
            answer = Answer(
                self._backend.token_bytes,
                template.StopText(stop=sampling.stop),
                feed,
                index=index,
                notices=notices,
                on_done=on_done,
                extend=extend,
            )
            feed.attach(self.resume(answer, prompt, sampling, index=index, root=root, shift=shift))

    def resume(
        self,
        answer: Answer,
        token_ids: tuple[int, ...],
        sampling: SamplingParams,
        *,
        index: int = 0,
        root: bytes | None = None,
        shift: Shift | None = None,
        goes_on: bool = False,
    ) -> Ticket:
        """Leave one request whose tokens go to ``answer``, which is new or ``goes_on``.

        Args:
            sampling: From :meth:`fill`.
            index: Which of several answers it is: each has a seed of its own.
        """
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        seed = (seed + index) % NUM_SEEDS
        request = Request(
            token_ids, sampling, answer, root or self.root, shift, seed, goes_on=goes_on
        )
        return self._loop.submit(request)

    def close(self) -> None:
        """End all answers, write the prompt cache, free the model; waits for all that."""
        self._at_drop.detach()
        self._loop.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stop(loop: EngineLoop, name: str) -> None:
    """What remains to be done for a model that nobody holds any more, from whatever thread."""
    if loop.stop():
        warnings.warn(f"the model {name} was not closed", ResourceWarning, stacklevel=2)


_DEFAULT_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repetition_penalty": "general.sampling.penalty_repeat",
}


def _sampling_defaults(metadata: Mapping[str, str]) -> dict[str, float]:
    """The sampling parameters that the model's file names; those out of range it does not."""
    found: dict[str, float] = {}
    for name, key in _DEFAULT_KEYS.items():
        with contextlib.suppress(KeyError, ValueError, OverflowError, SamplingError):
            number = float(metadata[key])
            named: dict[str, Any] = {name: int(number) if name == "top_k" else number}
            SamplingParams(**named)
            found |= named
    return found
