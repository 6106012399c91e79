"""The Chinese of ``sus-local doctor`` and ``sus-local plan``."""

from __future__ import annotations

from collections.abc import Mapping

MACHINE: Mapping[str, str] = {
    "processor": "处理器",
    "physical cores": "物理核心",
    "features": "指令集",
    "memory": "内存",
    "disk": "磁盘",
    "device": "设备",
    "what": "用途",
    "yes": "能",
    "no": "不能",
    "GPU layers": "GPU 层数",
    "KV cache": "KV 缓存",
    "{free} free": "可用 {free}",
    "{free} free of {total}": "可用 {free}，共 {total}",
    "together, of {free} free": "合计，可用 {free}",
    "none that llama.cpp uses": "没有 llama.cpp 使用的",
    "{gpu} is not used, since llama.cpp was built without {backend}; to build it with:": (
        "{gpu} 未被使用：llama.cpp 编译时没有 {backend}；重新编译："
    ),
    "Nothing of it fits this machine's free memory.": "本机可用内存放不下它的任何一种量化。",
    "The best for this machine (*):": "最适合本机的（*）：",
    "It does not fit.": "放不下。",
    "context {n_ctx}, KV cache {kv_type}, {layers} of {most} layers on GPUs": (
        "上下文 {n_ctx}，KV 缓存 {kv_type}，{most} 层中 {layers} 层在 GPU 上"
    ),
    "Its processor, memory and GPUs, what the installed llama.cpp makes of them, and which "
    "quantizations of SUS-Chat-34B fit and how; of MODEL, if one is given.": (
        "处理器、内存和 GPU，已安装的 llama.cpp 如何使用它们，以及 SUS-Chat-34B 的哪些量化能运行、"
        "怎样运行；若给出 MODEL，则说明它。"
    ),
    "Tell where MODEL's memory would go.": "说明 MODEL 的内存会用在哪里。",
    "Weights, KV cache, compute buffers and prompt cache, on each device, with the settings that "
    "would be taken. Nothing is loaded.": (
        "各设备上的权重、KV 缓存、计算缓冲区和提示缓存，以及将采用的设置。不加载任何东西。"
    ),
}
