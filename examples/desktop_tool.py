"""In a desktop tool: the model loads beside the event loop, answers stream, a click cancels.

``python examples/desktop_tool.py`` asks two questions at once and cancels a third answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import sus_local
from sus_local import LLM, SamplingParams
from sus_local.demo.model import ensure_model


async def ask(llm: LLM, question: str) -> str:
    """One answer, as it comes; the engine decodes all running answers together."""
    text = ""
    sampling = SamplingParams(temperature=0, max_tokens=64)
    async for piece in llm.astream([{"role": "user", "content": question}], sampling=sampling):
        text += piece.text  # here a window would show it
    return text


async def main(model: Path) -> None:
    """Two questions at once, then one that nobody waits for."""
    llm = await asyncio.to_thread(sus_local.load, model)
    try:
        questions = ["What is the capital of China?", "法国的首都是哪里？"]
        for answer in await asyncio.gather(*(ask(llm, question) for question in questions)):
            print(answer)
        unwanted = asyncio.create_task(ask(llm, "hi"))
        await asyncio.sleep(0)
        unwanted.cancel()  # ends the generation, too
        print("cancelled:", isinstance(await _outcome(unwanted), asyncio.CancelledError))
    finally:
        await asyncio.to_thread(llm.close)


async def _outcome(task: asyncio.Task[str]) -> object:
    return (await asyncio.gather(task, return_exceptions=True))[0]


if __name__ == "__main__":
    asyncio.run(main(ensure_model()))
