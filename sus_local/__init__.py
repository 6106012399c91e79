"""sus-local: SUS-Chat-34B and other LLaMA chat models, offline, through llama.cpp.

>>> import sus_local
>>> sus_local.SamplingParams(temperature=0).greedy
True

A conversation::

    with sus_local.load("sus-chat-34b-q4_k_m") as llm:
        chat = llm.conversation()
        for piece in chat.send("hi"):
            print(piece.text, end="", flush=True)
"""

from sus_local.conversation import Conversation
from sus_local.errors import SusLocalError
from sus_local.llm import LLM
from sus_local.loading import load
from sus_local.results import FinishReason, Piece, Result, Timings, TokenLogprob, Usage
from sus_local.sampling import SamplingParams
from sus_local.stream import Stream
from sus_local.turn import ContextState, Turn

__version__ = "0.1.0"

__all__ = [
    "LLM",
    "ContextState",
    "Conversation",
    "FinishReason",
    "Piece",
    "Result",
    "SamplingParams",
    "Stream",
    "SusLocalError",
    "Timings",
    "TokenLogprob",
    "Turn",
    "Usage",
    "__version__",
    "load",
]
