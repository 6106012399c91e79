"""What the program says, in Chinese: the English text → its translation.

A help text is translated paragraph by paragraph; examples stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from sus_local.cli.zh_chat import CHAT, CHAT_HELP
from sus_local.cli.zh_click import HELP
from sus_local.cli.zh_machine import MACHINE

_COMMANDS: Mapping[str, str] = {
    "[y/N]": "[y/N]",
    "imported as {numbers}": "已导入，编号 {numbers}",
    "Remove {names}?": "删除 {names} 吗？",
    "Remove {files} ({size})?": "删除 {files}（{size}）吗？",
    "Removed: {count}": "已删除：{count}",
    "{file} and {count} more": "{file} 和另外 {count} 个文件",
    "unfinished: {name}, {size}; its command goes on with it, or: {command}": (
        "未完成：{name}，{size}；再运行同一命令可继续，或：{command}"
    ),
    "No model is in {folder} yet.": "{folder} 中还没有模型。",
    "{name}: as recorded": "{name}：与记录一致",
    "verifying {name}": "正在校验 {name}",
    "parts are missing": "缺少部分文件",
    "damaged": "已损坏",
    "verified": "已校验",
    "recorded": "有记录",
    "changed": "已改变",
    "none": "无",
    "name": "名称",
    "type": "类型",
    "size": "大小",
    "parameters": "参数量",
    "system message": "系统消息",
    "settings": "设置",
    "No preset is saved yet.": "还没有保存的预设。",
    "checksums": "校验和",
    "from": "来源",
    "provenance": "来历",
    "tensor_types": "张量类型",
    "metadata": "元数据",
    "this machine": "本机",
    "fits": "可以运行",
    "too large": "太大",
    "converting {source} to {type} …": "正在把 {source} 转换为 {type} …",
    "model: {path}": "模型：{path}",
    "Make it a command:    {command}": "让命令可用：    {command}",
    "Go on by hand:        {command}": "继续对话：      {command}",
    "Get the real model:   {command}": "获取真正的模型：{command}",
    "And talk to it:       {command}": "然后与它对话：  {command}",
}

_CONVERT: Mapping[str, str] = {
    "{source}: {parameters} parameters, {size}": "{source}：{parameters} 个参数，{size}",
    "  needs up to {memory} of memory and {disk} of disk ({free} free); {threads} threads": (
        "  最多需要 {memory} 内存和 {disk} 磁盘（空闲 {free}）；{threads} 个线程"
    ),
    "  replaces what was made of {source}": "  会替换由 {source} 制作的文件",
    "  does not fit: it {problem}": "  放不下：{problem}",
    "{total} in {seconds:.1f} s, {memory} of memory at most": (
        "{total}，用时 {seconds:.1f} 秒，内存最多 {memory}"
    ),
    "Next: sus-local chat {path}": "下一步：sus-local chat {path}",
    "{count} tensors are done already": "已有 {count} 个张量完成",
    "fetching": "下载",
    "quantizing": "量化",
    "verifying": "校验",
    "{time} left": "剩余 {time}",
    "Convert a checkpoint to GGUF, in one pass over its weights.": (
        "把检查点转换为 GGUF，只读取一遍权重。"
    ),
    "SOURCE is a folder with config.json and *.safetensors, or org/name on the hub, which is read "
    "shard by shard: it never has to be on the disk as a whole. The same command goes on where it "
    "was, whatever stopped it.": (
        "SOURCE 是含 config.json 和 *.safetensors 的文件夹，或 hub 上的 org/name；"
        "后者逐片读取，不必整个放在磁盘上。无论因何中断，同一命令会从原处继续。"
    ),
    "Type to make, for instance Q4_K_M; may be repeated: the source is read once.": (
        "要生成的类型，例如 Q4_K_M；可重复：源只读取一次。"
    ),
    "File (for one type) or folder; by default the local store.": (
        "文件（单一类型）或文件夹；默认是本地模型库。"
    ),
    "Branch, tag or commit on the hub.": "hub 上的分支、标签或提交。",
    "Importance matrix of llama.cpp; types below about 3 bits need one.": (
        "llama.cpp 的重要性矩阵；约 3 位以下的类型需要它。"
    ),
    "Type of the tensors whose name matches; may be repeated.": "名称匹配的张量的类型；可重复。",
    "One type for all tensors, no mixture.": "所有张量用同一类型，不混合。",
    "Split into files with at most so many bytes of tensors, for instance 2G.": (
        "拆分为多个文件，每个最多这么多字节的张量，例如 2G。"
    ),
    "Threads; by default all cores.": "线程数；默认使用所有核心。",
    "Keep what is fetched from the hub.": "保留从 hub 下载的内容。",
    "Only tell what would be made and needed.": "只说明会生成什么、需要什么。",
    "One JSON object on standard output.": "在标准输出给出一个 JSON 对象。",
}

_COMMAND_HELP: Mapping[str, str] = {
    "Talk": "对话",
    "Models": "模型",
    "This machine": "本机",
    "Talk to the bundled demo model.": "与自带的演示模型对话。",
    "Hold a conversation in the terminal.": "在终端中对话。",
    "Answer one prompt.": "回答一个提示。",
    "Find, show and export conversations.": "查找、显示和导出对话。",
    "Convert a checkpoint to GGUF.": "把检查点转换为 GGUF。",
    "Download a ready GGUF from the hub.": "从 hub 下载现成的 GGUF。",
    "List, show, verify and remove local models.": "列出、显示、校验和删除本地模型。",
    "Keep a model with parameters under a name.": "把模型和参数存为一个名称。",
    "Keep a model with a system message and parameters under a name.": (
        "把模型、系统消息和参数存为一个名称。"
    ),
    "Such a name stands wherever `chat` and `run` take a model; their options come before what it "
    "sets. In a chat, /preset save NAME keeps what is in use.": (
        "chat 和 run 的 MODEL 处都可用这样的名称；命令的选项优先于预设。"
        "在对话中，/preset save 名称 保存当前设置。"
    ),
    "List the presets.": "列出预设。",
    "Show what the preset NAME sets.": "显示预设 NAME 的内容。",
    "Keep MODEL and the options as NAME.": "把 MODEL 和选项存为 NAME。",
    "A preset of this name is written over.": "同名的预设会被覆盖。",
    "Delete the preset NAME, after asking.": "询问后删除预设 NAME。",
    "Tell what this machine can run.": "说明本机能运行什么。",
    "Tell where a model's memory would go.": "说明模型的内存会用在哪里。",
    "Print what a shell needs to complete.": "输出 shell 补全所需的脚本。",
    "Print the completion script for SHELL.": "输出 SHELL 的补全脚本。",
    "Run SUS-Chat-34B and other LLaMA-architecture models offline, on a laptop.": (
        "在笔记本电脑上离线运行 SUS-Chat-34B 和其他 LLaMA 架构的模型。"
    ),
    "A command tells more with --help. SUS_LOCAL_HOME moves everything the program writes.": (
        "各命令加 --help 可了解更多。SUS_LOCAL_HOME 可移动程序写入的所有内容。"
    ),
    "Show the version and exit.": "显示版本并退出。",
    "Show this message and exit.": "显示本帮助并退出。",
    "Language of the texts; by default that of the locale.": "文本的语言；默认取自区域设置。",
    "Hold the conversation of SUS-Chat's README with the tiny bundled model.": (
        "与自带的小模型进行 SUS-Chat 自述文件中的对话。"
    ),
    "The first time, its checkpoint is converted to GGUF; that takes about a second. Nothing is "
    "downloaded.": "第一次会把它的检查点转换为 GGUF，约需一秒。不下载任何内容。",
    "Then go on by hand.": "然后由你继续对话。",
    "One JSON object: the conversation.": "一个 JSON 对象：整个对话。",
    "Hold a conversation with MODEL, or with the model used last; MODEL may be a preset.": (
        "与 MODEL 对话，默认是上次使用的模型；MODEL 也可以是预设。"
    ),
    "Answers stream as Markdown. /help lists the commands of the chat. Everything is saved as it "
    "is written: nothing is lost by leaving, and `--continue` goes on where it was.": (
        "回答以 Markdown 流式显示。/help 列出对话中的命令。一切内容边写边保存："
        "离开不会丢失任何内容，--continue 从原处继续。"
    ),
    "The model; as MODEL.": "模型；同 MODEL。",
    "Go on with the last conversation.": "继续上一个对话。",
    "Go on with the conversation of this number.": "继续这个编号的对话。",
    "System message of new conversations.": "新对话的系统消息。",
    "Text file or pattern that goes with the first question; may be repeated.": (
        "随第一个问题发送的文本文件或模式；可重复。"
    ),
    "Answers as plain text instead of Markdown.": "回答显示为纯文本，而不是 Markdown。",
    "Save nothing.": "不保存任何内容。",
    "Temperature; 0 is greedy.": "温度；0 为贪心。",
    "Keep the k most likely tokens; 0 keeps all.": "保留最可能的 k 个 token；0 保留全部。",
    "Keep the most likely tokens up to this probability.": "保留累计概率达到此值的最可能的 token。",
    "Drop tokens below this share of the most likely.": "丢弃概率低于最大概率此比例的 token。",
    "Locally typical sampling; 1 is off.": "局部典型采样；1 为关闭。",
    "Penalty on repeated tokens.": "对重复 token 的惩罚。",
    "Penalty for each occurrence.": "对每次出现的惩罚。",
    "Penalty for having occurred.": "对出现过的惩罚。",
    "Strength of the DRY sampler; 0 is off.": "DRY 采样器的强度；0 为关闭。",
    "Chance of the XTC sampler; 0 is off.": "XTC 采样器的概率；0 为关闭。",
    "Mirostat version.": "Mirostat 版本。",
    "For a repeatable answer.": "用于得到可重复的回答。",
    "The most tokens to generate.": "最多生成的 token 数。",
    "Text that ends the answer; may be repeated.": "结束回答的文本；可重复。",
    "JSON schema that the answer has to obey.": "回答必须符合的 JSON 模式。",
    "GBNF grammar that the answer has to follow.": "回答必须遵循的 GBNF 语法。",
    "Context length in tokens.": "上下文长度（token）。",
    "Layers on the GPU: auto, all or a number.": "放在 GPU 上的层：auto、all 或数字。",
    "Threads that compute.": "计算线程数。",
    "Type of the KV cache.": "KV 缓存的类型。",
    "Answer one PROMPT with MODEL, and with what comes on standard input.": (
        "用 MODEL 回答一个 PROMPT 和标准输入的内容。"
    ),
    "The answer goes to standard output and nothing else does. MODEL is a path, a name of "
    "`sus-local models list`, `demo`, or a preset.": (
        "标准输出只有回答。MODEL 是路径、sus-local models list 中的名称、demo 或预设。"
    ),
    "System message.": "系统消息。",
    "The model's prompt format, or the prompt as it is.": "使用模型的提示格式，或原样使用提示。",
    "One JSON object with text and figures.": "一个 JSON 对象，含文本和统计。",
    "With --json: a JSON line for each piece, too.": "与 --json 一起：每一段另有一行 JSON。",
    "Figures on standard error after the answer.": "回答之后在标准错误显示统计。",
    "Find, show, export and remove conversations.": "查找、显示、导出和删除对话。",
    "Write conversations to a file.": "把对话写到文件。",
    "NUMBERS are those of `sus-local history list`; without --output, to standard output.": (
        "NUMBERS 是 sus-local history list 中的编号；没有 --output 则写到标准输出。"
    ),
    "Every conversation.": "所有对话。",
    "A file instead of stdout.": "写到文件而不是标准输出。",
    "json can be imported again; by default as the output's name ends, else json.": (
        "json 可再次导入；默认按输出文件的扩展名，否则为 json。"
    ),
    "Read conversations from FILE.": "从 FILE 读取对话。",
    "That is a JSON export, what /save wrote, or a list of chat messages.": (
        "可以是 JSON 导出、/save 的文件，或消息列表。"
    ),
    "JSON on standard output.": "在标准输出给出 JSON。",
    "List the conversations, the latest first.": "列出对话，最近的在前。",
    "At most so many.": "最多这么多。",
    "Remove conversations, after asking.": "询问后删除对话。",
    "Do not ask.": "不询问。",
    "Find text in all conversations.": "在所有对话中搜索。",
    "Finds the turns that contain all WORDS, anywhere and in any language.": (
        "查找包含所有 WORDS 的对话轮，任何位置、任何语言。"
    ),
    "Show a conversation, by default the last.": "显示一个对话，默认是最近的。",
    "That is the branch in use, as Markdown; with --json all of it.": (
        "即当前分支，为 Markdown；加 --json 则显示全部。"
    ),
    "Download a ready GGUF from the hub into the local store.": (
        "从 hub 下载现成的 GGUF 到本地模型库。"
    ),
    "A download that was cut off goes on where it was; size and SHA-256 are verified. Without "
    "QUANT, Q4_K_M is taken if there is one. Where several files could be meant, they are listed "
    "with their sizes and with what fits this machine.": (
        "中断的下载会从原处继续；大小和 SHA-256 会被校验。不给 QUANT 时，若有 Q4_K_M 则取它。"
        "如果可能指多个文件，会列出它们的大小和本机能否运行。"
    ),
    "Branch, tag or commit.": "分支、标签或提交。",
    "Only list the repository's models.": "只列出仓库中的模型。",
    "List, show, verify and remove the models on this machine.": (
        "列出、显示、校验和删除本机的模型。"
    ),
    "List the models of the local store.": "列出本地模型库中的模型。",
    "Remove MODELs, after asking.": "询问后删除 MODEL。",
    "Show everything about MODEL.": "显示 MODEL 的一切。",
    "Its files and metadata, where it came from, and the types of its tensors.": (
        "文件、元数据、来源、张量类型。"
    ),
    "Compare MODELs with their checksums.": "把 MODEL 与校验和比较。",
    "Reads the files again, whole, and names what differs.": "完整重读文件，并指出不同之处。",
    "Every model that has checksums.": "所有有校验和的模型。",
}

TEXTS: Mapping[str, str] = {
    **CHAT,
    **CHAT_HELP,
    **_COMMANDS,
    **_CONVERT,
    **_COMMAND_HELP,
    **HELP,
    **MACHINE,
}
"""Every translation."""
