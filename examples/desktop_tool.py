"""In a desktop tool: the model loads beside the event loop, answers stream, a click cancels.

``python examples/desktop_tool.py`` asks two questions at once and cancels a third answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import sus_local
from sus_local import LLM, SamplingParams
from sus_local.demo.model import ensure_model

SHORT = SamplingParams(temperature=0, max_tokens=64)
ENDLESS = SamplingParams(temperature=0, max_tokens=1000, ignore_eos=True)


class Window:
    """Stands for a window that shows an answer as it grows."""

    def __init__(self) -> None:
        self.text = ""
        self.begun = asyncio.Event()

    def show(self, text: str) -> None:
        """Add to what is shown."""
        self.text += text
        if self.text:
            self.begun.set()


async def ask(llm: LLM, question: str, window: Window, sampling: SamplingParams = SHORT) -> None:
    """One answer, as it comes; the engine decodes all running answers together."""
    async for piece in llm.astream([{"role": "user", "content": question}], sampling=sampling):
        window.show(piece.text)


async def main(model: Path) -> None:
    """Two questions at once, then one whose answer is not waited for."""
    llm = await asyncio.to_thread(sus_local.load, model)
    try:
        english, chinese, unwanted = Window(), Window(), Window()
        await asyncio.gather(
            ask(llm, "What is the capital of China?", english),
            ask(llm, "法国的首都是哪里？", chinese),
        )
        print(english.text, chinese.text, sep="\n")
        task = asyncio.create_task(ask(llm, "hi", unwanted, ENDLESS))
        await unwanted.begun.wait()
        task.cancel()  # ends the generation, too
        await asyncio.wait([task])
        print(f"cancelled: {task.cancelled()}, after {unwanted.text!r}")
    finally:
        await asyncio.to_thread(llm.close)


if __name__ == "__main__":
    asyncio.run(main(ensure_model()))
