"""What the chat says, in Chinese: the English text → its translation."""

from __future__ import annotations

from collections.abc import Mapping

CHAT: Mapping[str, str] = {
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
    "KV cache": "KV 缓存",
    "architecture": "架构",
    "prompt format": "提示格式",
    "all of it: {command}": "全部：{command}",
    "{model} is the model in use": "{model} 就是正在使用的模型",
    "* marks the model in use; /model NAME goes on with another": (
        "* 表示正在使用的模型；/model 名称 换用另一个继续对话"
    ),
    "{path} holds {count} conversations": "{path} 中有 {count} 个对话",
    "{path} is no conversation but a model": "{path} 不是对话，而是模型",
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
    "The conversation's model, {model}, is not here: {other} goes on with it.": (
        "这里没有该对话的模型 {model}：由 {other} 继续。"
    ),
    "search for what?": "搜索什么？",
    "Nothing found.": "没有找到。",
    "this conversation is not saved yet": "这个对话还没有保存",
    "save to which file?": "保存到哪个文件？",
    "load which file?": "读取哪个文件？",
    "which file?": "哪个文件？",
    "no file is called like {pattern}": "没有文件符合 {pattern}",
    "{count} files are called like {pattern}": "有 {count} 个文件符合 {pattern}",
    "at most {most} go at once": "一次最多 {most} 个",
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
    "The model reads the conversation again with the next question.": (
        "下一个问题时，模型会重新读取整个对话。"
    ),
    "reading the prompt … {percent:.0f}% · Ctrl-C stops it": (
        "正在读取提示 … {percent:.0f}% · Ctrl-C 停止"
    ),
    "which preset?": "哪个预设？",
    "/preset NAME uses one, /preset save NAME keeps what is in use": (
        "/preset 名称 使用预设，/preset save 名称 保存当前设置"
    ),
    "it begins with: {command}": "这样使用：{command}",
    "There is a preset {name}. Write over it?": "预设 {name} 已存在。要覆盖吗？",
    "Delete the preset {name}?": "删除预设 {name} 吗？",
    "there is no parameter {name}": "没有参数 {name}",
    "/set shows all": "/set 显示全部",
    "{name} is {value}, it has to be a number": "{name} 是 {value}，应为数字",
    "{name} is {value}, it has to be a whole number": "{name} 是 {value}，应为整数",
    "{path} has {count} tokens, the context holds {n_ctx}": (
        "{path} 有 {count} 个 token，上下文只能容纳 {n_ctx} 个"
    ),
    "{name} is {value}, it has to be on or off": "{name} 是 {value}，应为 on 或 off",
    "send a part of it": "只发送其中一部分",
    "{path} is not a text file": "{path} 不是文本文件",
    "{path} has {size} bytes, at most {most} are read": (
        "{path} 有 {size} 字节，最多读取 {most} 字节"
    ),
}
"""What the chat says."""

CHAT_HELP: Mapping[str, str] = {
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
    "show or set parameters": "显示或设置参数",
    "list the models, or go on with another": "列出模型，或换用另一个继续对话",
    "use, keep or list presets": "使用、保存或列出预设",
    "what is known of the model in use": "正在使用的模型的信息",
    "send text files (*.py) with the next question": "随下一个问题发送文本文件（*.py）",
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
    "clear the screen": "清屏",
    "stop the answer; once more at the prompt: leave": "停止回答；在提示符处再按一次则离开",
    "leave": "离开",
}
"""What /help says."""
