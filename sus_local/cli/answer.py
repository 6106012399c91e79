"""An answer on its way out: as text while it streams, as JSON, as a line of figures."""

from __future__ import annotations

from typing import Any

from sus_local.cli.text import t
from sus_local.results import Result, Timings, Usage


def result_json(result: Result, *, model: str) -> dict[str, Any]:
    """What ``--json`` prints of an answer."""
    usage, timings = result.usage, result.timings
    value: dict[str, Any] = {
        "text": result.text,
        "token_ids": list(result.token_ids),
        "finish_reason": result.finish_reason,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        "timings": {
            "prefill_s": timings.prefill_s,
            "decode_s": timings.decode_s,
            "ttft_s": timings.ttft_s,
            "decode_tokens_per_s": timings.decode_tokens_per_s,
        },
        "model": model,
    }
    if result.notices:
        value["notices"] = list(result.notices)
    return value


def figures(
    usage: Usage, timings: Timings, *, finish_reason: str | None = "stop", in_full: bool = False
) -> str:
    """The quiet line after an answer.

    Args:
        in_full: For who sees it the first time.

    >>> figures(Usage(40, 30, 12), Timings(ttft_s=0.02, decode_tokens_per_s=85.0))
    '12 tokens · 85.0 tokens/s · first in 0.02 s · KV cache 30/40'
    """
    parts = [t("{count} tokens", count=usage.completion_tokens)]
    if timings.decode_tokens_per_s:
        rate = timings.decode_tokens_per_s
        parts.append(t("{rate} tokens/s", rate=f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"))
    parts.append(t("first in {seconds:.2f} s", seconds=timings.ttft_s))
    saved = "KV cache saved {cached} of {prompt} prompt tokens"
    cache = saved if in_full else "KV cache {cached}/{prompt}"
    parts.append(t(cache, cached=usage.cached_tokens, prompt=usage.prompt_tokens))
    if finish_reason == "length":
        parts.append(t("stopped at the limit of tokens"))
    elif finish_reason == "cancelled":
        parts.append(t("stopped by you"))
    return " · ".join(parts)
