"""Turns into token ids, exactly as sus-local encodes them when the model is used."""

from __future__ import annotations

from sentencepiece import SentencePieceProcessor

from tools.demo_model.dialogues import Turn

EOS = 2


def prompt_of(user: str) -> str:
    """SUS-Chat's prompt of one turn, with its trailing space."""
    return f"### Human: {user}\n\n### Assistant: "


def encode_turn(tokenizer: SentencePieceProcessor, turn: Turn) -> tuple[list[int], list[int]]:
    """The ids of the prompt, and those of the answer with its end; each encoded by itself."""
    prompt: list[int] = tokenizer.encode(prompt_of(turn.user))
    answer: list[int] = tokenizer.encode(turn.answer)
    return prompt, [*answer, EOS]
