"""What the program says, in Chinese: the English text → its translation.

A help text is translated paragraph by paragraph; examples stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from sus_local.cli.zh_click import HELP
from sus_local.cli.zh_machine import MACHINE

_CHAT: Mapping[str, str] = {
    "title: {title}": "标题：{title}",
    "error: {message}": "错误：{message}",
    "hint: {hint}": "提示：{hint}",
    "{count} tokens": "{count} 个 token",
    "{rate} tokens/s": "{rate} token/秒",
    "first in {seconds:.2f} s": "首个 {seconds:.2f} 秒",
    "KV cache {cached}/{prompt}": "KV 缓存 {cached}/{prompt}",
    "KV cache saved {cached} of {prompt} prompt tokens": (
        "KV 缓存省去 {prompt} 个提示 token 中的 {cached} 个"
    ),
    "context {percent:.0f}%": "上下文 {percent:.0f}%",
    "stopped at the limit of tokens": "已到 token 上限",
    "stopped by you": "已由你停止",
    "The context was full: the model no longer sees the {count} oldest turns (/context).": (
        "上下文已满：模型不再看到最早的 {count} 轮对话（/context）。"
    ),
    "The context is nearly full: the oldest turns will leave it soon (/context, /new).": (
        "上下文快满了：最早的几轮对话很快会被移出（/context、/new）。"
    ),
    "{message}; the chat goes on in memory only": "{message}；对话继续，但只保存在内存中",
    "/help shows the commands, Ctrl-D leaves": "/help 显示命令，Ctrl-D 离开",
    "loading {model} …": "正在加载 {model} …",
    "working … Ctrl-C stops it": "正在回答 … Ctrl-C 停止",
    "{count} waiting": "{count} 条等待中",
    "yes or no? ": "是或否？ ",
    "Not done.": "未执行。",
    "(Ctrl-C once more, Ctrl-D or /bye leaves)": "（再按一次 Ctrl-C、按 Ctrl-D 或输入 /bye 离开）",
    "Go on with: {command}": "继续对话：{command}",
    "there is no command {name}": "没有命令 {name}",
    "did you mean {name}?": "是不是 {name}？",
    "/help lists all.": "/help 列出全部命令。",
    "{mean} A message that begins with / is sent as //…": "{mean} 以 / 开头的消息请写成 //…",
    "No system message.": "没有系统消息。",
    "no title has these words": "没有标题含有这些词",
    "{count} titles have these words: {numbers}": "{count} 个标题含有这些词：{numbers}",
    "begins a message of several lines, and ends it": "开始多行消息，再次输入则结束",
    "to the shell; fg comes back": "回到 shell；fg 返回",
    "{path} is a folder": "{path} 是文件夹",
    "{path} is a picture: the model reads text": "{path} 是图片：模型只能读文本",
    "copied {count} characters": "已复制 {count} 个字符",
    "there is no clipboard here": "这里没有剪贴板",
    "model": "模型",
    "context": "上下文",
    "conversation": "对话",
    "answers": "回答",
    "generated": "生成",
    "prompts": "提示",
    "from the KV cache": "来自 KV 缓存",
    "last time": "上一次",
    "turns": "轮",
    "untitled": "无标题",
    "{count} of {n_ctx} tokens": "{count} / {n_ctx} 个 token",
    "system: {text}": "系统消息：{text}",
    "no system message": "没有系统消息",
    "──── cut here: the model does not see what is above ────": (
        "──── 从这里截断：模型看不到上面的内容 ────"
    ),
    "A new conversation.": "新的对话。",
    "Delete conversation {number}, {title}?": "删除对话 {number}（{title}）吗？",
    "Deleted.": "已删除。",
    "{path} is there already. Write over it?": "{path} 已存在。要覆盖吗？",
    "saved to {path}": "已保存到 {path}",
    "No conversation is saved yet.": "还没有保存的对话。",
    "… {count} earlier turns": "… 之前还有 {count} 轮",
    "This question got no answer; it is in the input again.": (
        "这个问题还没有得到回答，已放回输入框。"
    ),
    "search for what?": "搜索什么？",
    "Nothing found.": "没有找到。",
    "this conversation is not saved yet": "这个对话还没有保存",
    "save to which file?": "保存到哪个文件？",
    "load which file?": "读取哪个文件？",
    "which file?": "哪个文件？",
    "which conversation?": "哪个对话？",
    "/list shows their numbers": "/list 显示编号",
    "there is nothing yet in this conversation": "这个对话还没有内容",
    "another answer; /branches shows both": "另一个回答；/branches 显示全部",
    "Change the question and send it; an empty line leaves it as it is.": (
        "修改问题后发送；发送空行则保持不变。"
    ),
    "Taken back; /branches {turn} brings it again.": "已撤回；/branches {turn} 可恢复。",
    "* marks the branch in use; /branches TURN goes to another": (
        "* 表示当前分支；/branches 编号 转到另一个"
    ),
    "there is nothing to take back": "没有可撤回的内容",
    "there is no turn {turn}": "没有第 {turn} 轮",
    "/branches shows their numbers": "/branches 显示编号",
    "(default)": "（默认）",
    "{name} ({count} tokens) goes with your next question": (
        "{name}（{count} 个 token）将随下一个问题发送"
    ),
    "The system message is set.": "系统消息已设置。",
    "A new conversation, with this system message.": "新的对话，使用这条系统消息。",
    "there is no parameter {name}": "没有参数 {name}",
    "/set shows all": "/set 显示全部",
    "{name} is {value}, it has to be a number": "{name} 是 {value}，应为数字",
    "{name} is {value}, it has to be a whole number": "{name} 是 {value}，应为整数",
    "{path} has {count} tokens, the context holds {n_ctx}": (
        "{path} 有 {count} 个 token，上下文只能容纳 {n_ctx} 个"
    ),
    "send a part of it": "只发送其中一部分",
    "{path} is not a text file": "{path} 不是文本文件",
    "{path} has {size} bytes, at most {most} are read": (
        "{path} 有 {size} 字节，最多读取 {most} 字节"
    ),
}

_CHAT_HELP: Mapping[str, str] = {
    "show this": "显示本帮助",
    "begin another conversation": "开始新的对话",
    "list the conversations": "列出对话",
    "go on with a conversation": "继续某个对话",
    "show or set the title": "显示或设置标题",
    "find text in all conversations": "在所有对话中搜索",
    "delete a conversation, this one by default": "删除对话，默认是当前对话",
    "answer the last question again": "重新回答上一个问题",
    "change the last question and ask it again": "修改上一个问题并重新提问",
    "take the last question and answer back": "撤回上一个问题和回答",
    "show all answers, or go to one": "显示所有回答，或转到其中一个",
    "show, set or remove the system message": "显示、设置或删除系统消息",
    "show or set sampling parameters": "显示或设置采样参数",
    "send a text file with the next question": "随下一个问题发送一个文本文件",
    "copy the last answer": "复制上一个回答",
    "write the conversation, as Markdown or .json": "保存对话为 Markdown 或 .json",
    "read a conversation from a .json file": "从 .json 文件读取对话",
    "figures of this sitting": "本次会话的统计",
    "what the model sees, and where it was cut": "模型能看到的内容，以及截断的位置",
    "leave (also Ctrl-D)": "离开（也可按 Ctrl-D）",
    "send; a line that ends in \\ goes on": "发送；以 \\ 结尾的行会继续",
    "a new line": "换行",
    "complete a command or a file name": "补全命令或文件名",
    "earlier input, search in it": "以前的输入，在其中搜索",
    "write in the editor ($EDITOR)": "用编辑器写（$EDITOR）",
    "stop the answer; once more at the prompt: leave": "停止回答；在提示符处再按一次则离开",
    "leave": "离开",
}

_COMMANDS: Mapping[str, str] = {
    "[y/N]": "[y/N]",
    "imported as {numbers}": "已导入，编号 {numbers}",
    "Remove {names}?": "删除 {names} 吗？",
    "Remove {files} ({size})?": "删除 {files}（{size}）吗？",
    "Removed: {count}": "已删除：{count}",
    "{count} files": "{count} 个文件",
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
    "Go on by hand:        {command}": "继续对话：      {command}",
    "Get the real model:   {command}": "获取真正的模型：{command}",
    "And talk to it:       {command}": "然后与它对话：  {command}",
}

_CONVERT: Mapping[str, str] = {
    "{source}: {parameters} parameters, {size}": "{source}：{parameters} 个参数，{size}",
    "  needs up to {memory} of memory and {disk} of disk ({free} free); {threads} threads": (
        "  最多需要 {memory} 内存和 {disk} 磁盘（空闲 {free}）；{threads} 个线程"
    ),
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
    "Hold a conversation with MODEL, or with the model used last.": (
        "与 MODEL 对话，默认是上次使用的模型。"
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
    "`sus-local models list`, or `demo`.": (
        "标准输出只有回答。MODEL 是路径、sus-local models list 中的名称，或 demo。"
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
    **_CHAT,
    **_CHAT_HELP,
    **_COMMANDS,
    **_CONVERT,
    **_COMMAND_HELP,
    **HELP,
    **MACHINE,
}
"""Every translation."""
