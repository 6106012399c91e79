"""The Chinese of the errors: what the library says in English, with places for what varies."""

from __future__ import annotations

from collections.abc import Mapping

ERRORS: Mapping[str, str] = {
    "llama.cpp could not make an embedding context of {n_ctx}": (
        "llama.cpp 无法建立长度为 {n_ctx} 的嵌入上下文"
    ),
    "the model makes no embeddings: its file names no pooling": (
        "该模型不产生嵌入：文件中没有指明池化方式"
    ),
    "the text has {count} tokens, an embedding takes from 1 to {n_ctx}": (
        "文本有 {count} 个 token，嵌入只接受 1 到 {n_ctx} 个"
    ),
    "llama.cpp made no embedding: status {status}": "llama.cpp 没有产生嵌入：状态 {status}",
    "{num} of {count} models are not as recorded: {messages}": (
        "{count} 个模型中有 {num} 个与记录不符：{messages}"
    ),
    "not done: the answer was not yes": "未执行：回答不是“是”",
    "there is no preset {name}": "没有预设 {name}",
    "a preset cannot have the name {name}": "预设不能叫 {name}",
    "the preset {name} cannot be used: {why}": "预设 {name} 无法使用：{why}",
    "it is no JSON: {error}": "它不是 JSON：{error}",
    "it is no JSON object": "它不是 JSON 对象",
    "it has {name}, a preset has {names}": "它有 {name}，预设只有 {names}",
    "it names no model": "它没有指明模型",
    "{name} is the name of a model": "{name} 是模型的名称",
    "tensor_split has {count} shares, llama.cpp takes {most}": (
        "tensor_split 有 {count} 份，llama.cpp 最多接受 {most} 份"
    ),
    "the grammar cannot be compiled": "语法无法编译",
    "the grammar cannot be compiled: {reason}": "语法无法编译：{reason}",
    "no cells for {total} tokens": "没有可容纳 {total} 个 token 的位置",
    "the installed llama.cpp was built without RPC": "已安装的 llama.cpp 编译时没有 RPC",
    "llama-cpp-python is not installed": "没有安装 llama-cpp-python",
    "no RPC server answers at {endpoint}": "{endpoint} 没有 RPC 服务器应答",
    "llama.cpp's libraries cannot be loaded: {error}": "无法加载 llama.cpp 的库：{error}",
    "llama_decode failed with status {status}: {log}": "llama_decode 失败，状态 {status}：{log}",
    "llama.cpp could not load {path}: {log}": "llama.cpp 无法加载 {path}：{log}",
    "{path} has the architecture {architecture}, this program runs 'llama'": (
        "{path} 的架构是 {architecture}，本程序只运行 'llama'"
    ),
    "llama.cpp could not make a context of {n_ctx} tokens: {log}": (
        "llama.cpp 无法建立 {n_ctx} 个 token 的上下文：{log}"
    ),
    "llama.cpp could not tokenize {count} bytes": "llama.cpp 无法把 {count} 字节的文本切分为 token",
    "no model file {path}": "没有模型文件 {path}",
    "{path} is no GGUF file: it begins with {magic}": "{path} 不是 GGUF 文件：它以 {magic} 开头",
    "the model was closed": "模型已关闭",
    "{path} cannot be read: {reason}": "无法读取 {path}：{reason}",
    "logit_bias names token {token}, the vocabulary has {count}": (
        "logit_bias 指定了 token {token}，词表只有 {count} 个"
    ),
    "the JSON schema cannot be followed: {reason}": "无法遵循该 JSON 模式：{reason}",
    "after {num} tokens the rules of the answer allow no other one": (
        "生成 {num} 个 token 之后，回答的规则不允许任何 token"
    ),
    "the grammar has groups {depth} deep, at most {most} can be compiled": (
        "语法的分组嵌套了 {depth} 层，最多可编译 {most} 层"
    ),
    "the grammar has no character at {place}, but half of one": (
        "语法在第 {place} 个位置不是完整的字符"
    ),
    "nothing is recorded to verify {name} against": "没有可用来校验 {name} 的记录",
    "{name} is missing": "{name} 缺失",
    "{name} has {size} bytes, expected {expected}": "{name} 有 {size} 字节，应为 {expected} 字节",
    "{name} is not what was recorded": "{name} 与记录不符",
    "{name} is not what was recorded (tensor {tensor})": "{name} 与记录不符（张量 {tensor}）",
    "{path} is not text": "{path} 不是文本文件",
    "the model is still loading": "模型仍在加载",
    "no model is loaded": "没有加载模型",
    "the history is not in use: this chat is only in memory": "历史记录未启用：这个对话只在内存中",
    "no conversation is saved yet": "还没有保存的对话",
    "there is no conversation to go on with": "没有可以继续的对话",
    "internal error: {what}": "内部错误：{what}",
    "out of memory": "内存不足",
    "no model is installed yet": "还没有安装模型",
    "which model? here are {names}": "哪个模型？这里有 {names}",
    "{path} is not JSON: {error}": "{path} 不是 JSON：{error}",
    "{name} holds no conversation: {error}": "{name} 中没有对话：{error}",
    "the prompt has at least {count} tokens, the context holds {n_ctx} with the answer": (
        "提示至少有 {count} 个 token，上下文连同回答只能容纳 {n_ctx} 个"
    ),
    "the prompt has {count} tokens, the context holds {n_ctx} with the answer": (
        "提示有 {count} 个 token，上下文连同回答只能容纳 {n_ctx} 个"
    ),
    "overflow is {value}": "overflow 是 {value}",
    "the conversation has no turn {turn}": "这个对话没有第 {turn} 轮",
    "there is no turn yet": "还没有任何一轮对话",
    "turn {turn} is one of another conversation": "第 {turn} 轮属于另一个对话",
    "turn {turn} follows turn {parent}, which does not come before it": (
        "第 {turn} 轮接在第 {parent} 轮之后，而后者并不在它之前"
    ),
    "a turn of the conversation is {type}, expected Turn": "对话中有一轮是 {type}，应为 Turn",
    "the branch is before its first turn, {count} are in the tree": (
        "分支在它的第一轮之前，树中有 {count} 轮"
    ),
    "the system text is {type}, expected text": "系统文本是 {type}，应为文本",
    "the message is {type}, expected text": "消息是 {type}，应为文本",
    "the messages are {type}, expected a list": "给出的消息是 {type}，应为列表",
    "the text is {type}, expected a string": "文本是 {type}，应为字符串",
    "the text is {type}, expected token ids": "文本是 {type}，应为 token 编号",
    "history is {value}": "history 是 {value}",
    "a finalizer waits for an answer on the thread that makes the answers": (
        "终结器在生成回答的线程上等待回答"
    ),
    "the model is that of process {process}, this one is {other}": (
        "模型属于进程 {process}，当前进程是 {other}"
    ),
    "n is {count}, a message gets one answer": "n 是 {count}，而一条消息只有一个回答",
    "sampling is {type}, it has to be SamplingParams": "sampling 是 {type}，应为 SamplingParams",
    "stop_token_ids names token {token}, the vocabulary has {count}": (
        "stop_token_ids 指定了 token {token}，词表只有 {count} 个"
    ),
    "logit_bias forbids all {count} tokens of the vocabulary": (
        "logit_bias 禁止了词表的全部 {count} 个 token"
    ),
    "top_logprobs is {count}, and logprobs is off": "top_logprobs 是 {count}，而 logprobs 未开启",
    "dry_sequence_breakers has {value}, which is no text": (
        "dry_sequence_breakers 中有 {value}，它不是文本"
    ),
    "grammar is {value}, it has to be the text of a grammar": "grammar 是 {value}，应为语法的文本",
    "json_schema is {value}, it has to be a mapping": "json_schema 是 {value}，应为映射",
    "{name} is {value}, it has to be True or False": "{name} 是 {value}，应为 True 或 False",
    "kv_dir is {value}, which is no folder": "kv_dir 是 {value}，它不是文件夹",
    "{doing} {path} failed: {reason}": "{doing} {path} 失败：{reason}",
    "the history needs SQLite 3.34, this Python has {version}": (
        "历史记录需要 SQLite 3.34，当前 Python 的是 {version}"
    ),
    "{path} has schema version {version}, this program knows {known}": (
        "{path} 的数据库版本是 {version}，本程序只认识到 {known}"
    ),
    "{file} arrived with another SHA-256 than the hub told, twice": (
        "{file} 两次下载的 SHA-256 都与 hub 给出的不同"
    ),
    "the hub sends no more bytes of {file}": "hub 不再发送 {file} 的数据",
    "the engine failed: {error}": "引擎出错：{error}",
    "the prompt has no tokens": "提示中没有 token",
    "{count} requests wait, the queue holds {most}": (
        "有 {count} 个请求在等待，队列最多容纳 {most} 个"
    ),
    "{reason} while {doing} {path}": "{doing} {path} 时出错：{reason}",
    "{reason} while {doing}": "{doing}时出错：{reason}",
    "no space left on the device while {doing} {path}": "{doing} {path} 时磁盘空间不足",
    "no space left on the device while {doing}": "{doing}时磁盘空间不足",
    "{reason} while reading or writing {path}": "读写 {path} 时出错：{reason}",
    "no space left on the device while reading or writing {path}": "读写 {path} 时磁盘空间不足",
    "no permission while reading or writing {path}": "没有权限读写 {path}",
    "saving in {path} failed: {reason}": "保存到 {path} 失败：{reason}",
    "deleting from {path} failed: {reason}": "从 {path} 删除失败：{reason}",
    "no permission while {doing} {path}": "没有权限{doing} {path}",
    "no permission while {doing}": "没有{doing}的权限",
    "there is no file {path}": "没有文件 {path}",
    "{path} cannot be used: {why}": "{path} 无法使用：{why}",
    "{name}: {key} is {value}, more than {most}": "{name}：{key} 是 {value}，大于 {most}",
    "the header of {path} is damaged: {error}": "{path} 的文件头已损坏：{error}",
    "{path} is not a GGUF file": "{path} 不是 GGUF 文件",
    "there is no conversation {number}": "没有编号为 {number} 的对话",
    "the hub sent {count} of {total} bytes of {name}": (
        "hub 只发送了 {name} 的 {total} 字节中的 {count} 字节"
    ),
    "the hub answered {status} when asked for {what}": "请求 {what} 时 hub 返回 {status}",
    "the hub does not let you read {repository} (status {status})": (
        "hub 不允许你读取 {repository}（状态 {status}）"
    ),
    "the hub refuses the token that it was sent for {repository} (status {status})": (
        "hub 拒绝了为 {repository} 发送的令牌（状态 {status}）"
    ),
    "{repository} is disabled on the hub": "{repository} 在 hub 上已停用",
    "{endpoint} did not answer as a hub does: {what}": "{endpoint} 的应答不像 hub：{what}",
    "the token for the hub has a character that no token has": "hub 的令牌中有令牌不会有的字符",
    "{endpoint} is no address of a hub": "{endpoint} 不是 hub 的地址",
    "the hub sent {file} from byte {found} on, asked for byte {wanted}": (
        "hub 从第 {found} 字节开始发送 {file}，而请求的是第 {wanted} 字节"
    ),
    "the revision is empty": "版本为空",
    "the hub cannot be asked for {repository}: HF_HUB_OFFLINE is set": (
        "无法向 hub 请求 {repository}：HF_HUB_OFFLINE 已设置"
    ),
    "cannot reach {endpoint} for {repository}: {why}": (
        "无法连接 {endpoint} 获取 {repository}：{why}"
    ),
    "no name of a repository: {repository}": "不是仓库名称：{repository}",
    "no repository {repository} on {endpoint}, or it is private": (
        "{endpoint} 上没有仓库 {repository}，或者它是私有的"
    ),
    "{repository} has no revision {revision}": "{repository} 没有版本 {revision}",
    "{repository} has no file {file}": "{repository} 没有文件 {file}",
    "{repository} has nothing to read": "{repository} 没有可读取的内容",
    "token {index} is {token}, ids go from 0 to {largest}": (
        "第 {index} 个 token 是 {token}，编号范围是 0 到 {largest}"
    ),
    "{count} models are called {name}: {names}": "有 {count} 个模型叫 {name}：{names}",
    "there is no model {name}": "没有模型 {name}",
    "{path} is a folder, no model file": "{path} 是文件夹，不是模型文件",
    "{name} lacks parts: {count} files are here": "{name} 缺少部分文件：这里只有 {count} 个",
    "{name} is truncated: {actual} bytes of {expected}": (
        "{name} 不完整：{expected} 字节中只有 {actual} 字节"
    ),
    "{name} has no token_embd.weight": "{name} 没有 token_embd.weight",
    "{path}: {name} is {value}, not a positive number": "{path}：{name} 是 {value}，不是正数",
    "{path}: tensor {tensor} is of unknown type {type}": "{path}：张量 {tensor} 的类型 {type} 未知",
    "{name} with a context of {n_ctx} tokens needs {needed} of {memory}, {free} are free": (
        "{name} 在 {n_ctx} 个 token 的上下文下需要 {memory} {needed}，可用 {free}"
    ),
    "n_ctx is {n_ctx}, not a positive number": "n_ctx 是 {n_ctx}，不是正数",
    "kv_type {type} is none of {known}": "kv_type {type} 不在 {known} 之中",
    "n_gpu_layers is {value}": "n_gpu_layers 是 {value}",
    "a {type} KV cache needs flash attention": "{type} 的 KV 缓存需要 flash attention",
    "{repository} has no {quant}: {names}": "{repository} 没有 {quant}，有：{names}",
    "{repository} has several models: {names}": "{repository} 有多个模型：{names}",
    "{repository} has {count} models of type {quant}: {names}": (
        "{repository} 有 {count} 个类型为 {quant} 的模型：{names}"
    ),
    "{repository} has {count} models called {name}: {names}": (
        "{repository} 有 {count} 个叫 {name} 的模型：{names}"
    ),
    "{repository} has {count} of the {total} parts of {name}": (
        "{repository} 只有 {name} 的 {total} 个部分中的 {count} 个"
    ),
    "{repository} has no GGUF files": "{repository} 没有 GGUF 文件",
    "{name} names no repository": "{name} 不是仓库名称",
    "{path} is another model already: {why}": "{path} 已经是另一个模型：{why}",
    "{file} of {repository} is not a GGUF file": "{repository} 的 {file} 不是 GGUF 文件",
    "{needed} GB are needed at {folder}, {free} GB are free": (
        "{folder} 需要 {needed} GB，可用 {free} GB"
    ),
    "another process writes {name}": "另一个进程正在写入 {name}",
    "{name} is {value}, it has to be at least {low}": "{name} 是 {value}，至少应为 {low}",
    "{name} is {value}, it has to be from {low} to {high}": (
        "{name} 是 {value}，应在 {low} 到 {high} 之间"
    ),
    "grammar and json_schema exclude each other": "grammar 与 json_schema 不能同时使用",
    "{name} is {value}, it has to be a number": "{name} 是 {value}，应为数字",
    "{name} is {value}, it has to be a whole number": "{name} 是 {value}，应为整数",
    "{name} has {value}, it takes texts": "{name} 中有 {value}，应为文本",
    "{name} has {value}, it takes token ids": "{name} 中有 {value}，应为 token 编号",
    "logit_bias is {value}, it maps token ids to numbers": (
        "logit_bias 是 {value}，应由 token 编号对应数字"
    ),
    "the prompt is {kind}, expected text, messages or token ids": (
        "提示是 {kind}，应为文本、消息或 token 编号"
    ),
    "message {index} is {type}, expected a role and a content": (
        "消息 {index} 是 {type}，应有 role 和 content"
    ),
    "stop text {place} is empty": "第 {place} 个停止文本是空的",
    "logit_bias has {token}: {bias}, expected a token id and a number": (
        "logit_bias 中有 {token}: {bias}，应为 token 编号和数字"
    ),
    "there are no messages": "没有消息",
    "there is only a system message": "只有系统消息",
    "message {index} has the role {role}": "第 {index} 条消息的角色是 {role}",
    "message {index} has the role {role}, expected {expected}": (
        "第 {index} 条消息的角色是 {role}，应为 {expected}"
    ),
    "the content of message {index} is {type}, expected text": (
        "第 {index} 条消息的内容是 {type}，应为文本"
    ),
}

PHRASES: Mapping[str, str] = {
    "tensor {tensor} is of type {type}, which holds no weights": (
        "张量 {tensor} 的类型是 {type}，这种类型不能存放权重"
    ),
    "it has {layers} layers, llama.cpp takes {most}": "它有 {layers} 层，llama.cpp 最多 {most} 层",
    "it predicts more layers than it has": "它预测的层比它有的层还多",
    "its norms have the epsilon {epsilon}": "它的归一化 epsilon 是 {epsilon}",
    "its positions are scaled by {scaling}, which llama.cpp does not know": (
        "它的位置缩放方式是 {scaling}，llama.cpp 不认识"
    ),
    "it uses {used} of {experts} experts": "它使用 {experts} 个专家中的 {used} 个",
    "its {experts} experts are in {groups} groups": "它的 {experts} 个专家分为 {groups} 组",
    "it uses {chosen} of {groups} groups of experts": "它使用 {groups} 组专家中的 {chosen} 组",
    "its tokenizer is {kind}, this program knows {names}": (
        "它的分词器是 {kind}，本程序只认识 {names}"
    ),
    "it has {count} tokens twice, of {total}": "它的 {total} 个 token 中有 {count} 个重复",
    "its vocabulary lacks {count} of 256 bytes, {byte} first": (
        "它的词表缺少 256 个字节中的 {count} 个，第一个是 {byte}"
    ),
    "turn {number}: {name} is {value}": "第 {number} 轮：{name} 是 {value}",
    "turn {number} has no {name}": "第 {number} 轮没有 {name}",
    "turn {number} is no object": "第 {number} 轮不是对象",
    "the conversation: {name} is {value}": "对话：{name} 是 {value}",
    "the conversation has no {name}": "对话没有 {name}",
    "two turns have one id": "有两轮的 id 相同",
    "a turn follows one that is not there": "有一轮接在不存在的一轮之后",
    "it is an empty list": "它是空列表",
    "it is no object and no list of them": "它不是对象，也不是对象的列表",
    "its format is not {format}, version {version}": "它的格式不是 {format} 版本 {version}",
    "reading": "读取",
    "writing": "写入",
    "reading or writing": "读写",
    "deleting": "删除",
    "fetching": "下载",
    "opening": "打开",
    "no such file or directory": "没有这个文件或目录",
    "is a directory": "是一个目录",
    "not a directory": "不是目录",
    "file exists": "文件已存在",
    "directory not empty": "目录非空",
    "file too large": "文件太大",
    "file name too long": "文件名太长",
    "input/output error": "输入输出错误",
    "too many open files": "打开的文件太多",
    "invalid argument": "参数无效",
    "device or resource busy": "设备正忙",
    "operation not permitted": "不允许的操作",
    "database is locked": "数据库被锁定",
    "unable to open database file": "无法打开数据库文件",
    "file is not a database": "文件不是数据库",
    "database disk image is malformed": "数据库已损坏",
    "database or disk is full": "数据库或磁盘已满",
    "attempt to write a readonly database": "数据库是只读的",
    "the conversation was deleted meanwhile": "对话已被删除",
    "main memory": "主内存",
    "{device}'s memory": "{device} 的显存",
    "another": "另一个进程",
    "process {pid} on {host}": "{host} 上的进程 {pid}",
    "nothing": "没有",
    "missing": "缺失",
    "{value}, expected a positive integer": "{value}，应为正整数",
    "has no entry for it": "其中没有它的条目",
    "is not given": "没有给出",
    "the index says {shard}": "索引中说在 {shard}",
    "the index does not name it": "索引中没有它",
    "nothing was cached": "没有可用的缓存",
    "kept {count} tokens in the context": "上下文中保留了 {count} 个 token",
    "restored {count} tokens from {memory}": "从{memory}恢复了 {count} 个 token",
    "kept {kept} tokens in the context, restored {count} tokens from {memory}": (
        "上下文中保留了 {kept} 个 token，从{memory}恢复了 {count} 个"
    ),
    "shifted {count} tokens": "移动了 {count} 个 token",
    "{what}; diverged at {place} from {other} cached tokens": (
        "{what}；与 {other} 个已缓存的 token 在第 {place} 个处不同"
    ),
    "disk": "磁盘",
    "RAM": "内存",
    "weights of {count} layers": "{count} 层的权重",
    "weights of 1 layer": "1 层的权重",
    "KV cache, {type}, {count} layers": "KV 缓存，{type}，{count} 层",
    "KV cache, {type}, 1 layer": "KV 缓存，{type}，1 层",
    "output matrix": "输出矩阵",
    "compute buffer": "计算缓冲区",
    "embedding": "词嵌入",
    "logits": "logits（输出）",
    "scratch": "临时空间",
    "prompt cache": "提示缓存",
    "{gpu} is here, but the installed llama.cpp was built without {backend}: {command}": (
        "本机有 {gpu}，但已安装的 llama.cpp 编译时没有 {backend}：{command}"
    ),
    "{model} has a chat format of its own; messages are put in SUS-Chat's, which it was not "
    "trained on; text in its own format: sus-local run --template raw": (
        "{model} 有自己的对话格式；消息会按 SUS-Chat 的格式写出，而它没有用这种格式训练过；"
        "要用它自己的格式写文本：sus-local run --template raw"
    ),
    "{why}; next attempt in {seconds} s": "{why}；{seconds} 秒后重试",
    "the hub sends nothing": "hub 没有发送任何内容",
    "{size} bytes, not the {expected} of {repository}": (
        "{size} 字节，而 {repository} 的是 {expected} 字节"
    ),
    "its SHA-256 is {digest}, not the {expected} of {repository}": (
        "它的 SHA-256 是 {digest}，而 {repository} 的是 {expected}"
    ),
    "it does not come from {repository}": "它不是来自 {repository}",
    "a folder": "一个文件夹",
    "no JSON of a repository": "没有仓库的 JSON",
    "it tells no commit of {repository}": "它没有给出 {repository} 的提交",
    "it tells no size of {file}": "它没有给出 {file} 的大小",
    "no ETag of {file}": "没有 {file} 的 ETag",
    "status {status} and {count} bytes for {file}": "对 {file} 返回状态 {status} 和 {count} 字节",
    "needs {needed} of memory, this machine has {total}": "需要 {needed} 内存，本机有 {total}",
    "needs {needed} of disk at {folder}, {free} is free": (
        "{folder} 需要 {needed} 磁盘，可用 {free}"
    ),
}
"""What stands in such places, where it is words."""
