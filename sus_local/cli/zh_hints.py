"""The Chinese of the hints: the next step after an error."""

from __future__ import annotations

from collections.abc import Mapping

HINTS: Mapping[str, str] = {
    "for instance attn_v=Q8_0": "例如 attn_v=Q8_0",
    "they have names such as {name}": "它们的名称例如 {name}",
    "give another place with -o": "请用 -o 给出另一个位置",
    "download them again": "请重新下载",
    "llama.cpp needs a model that was trained with byte_fallback": (
        "llama.cpp 需要用 byte_fallback 训练的模型"
    ),
    "give messages as {'role': 'user', 'content': '…'}": (
        "请这样给出消息：{'role': 'user', 'content': '…'}"
    ),
    "supported: sentencepiece tokenizer.model, byte-level BPE tokenizer.json": (
        "支持：sentencepiece 的 tokenizer.model，字节级 BPE 的 tokenizer.json"
    ),
    "is it the tokenizer that belongs to these weights?": "这个分词器与这些权重是一套吗？",
    "known: {names}": "已知：{names}",
    "install it: {command}": "请安装：{command}",
    "sus-local converts dense LLaMA-architecture checkpoints": (
        "sus-local 转换稠密的 LLaMA 架构检查点"
    ),
    "supported: {names}": "支持：{names}",
    "convert the original bf16, f16 or f32 checkpoint": "请转换原始的 bf16、f16 或 f32 检查点",
    "run the same command again once it is back": "恢复后再运行同一命令",
    "hf download {name} --local-dir FOLDER, then convert FOLDER": (
        "先 hf download {name} --local-dir FOLDER，再转换 FOLDER"
    ),
    "use the importance matrix that was made for this model": "请使用为该模型制作的重要性矩阵",
    "make one with llama-imatrix": "用 llama-imatrix 制作一个",
    "wait for it, or choose another output with -o": "等它完成，或用 -o 选择另一个输出",
    "delete {path}, then run the same command again": "删除 {path}，再运行同一命令",
    "run the same command again": "再运行同一命令",
    "types of a tensor: {names}": "张量的类型：{names}",
    "the disk may be failing: convert again, to another one": "磁盘可能有故障：请转换到另一个磁盘",
    "give one with -q, for instance -q Q4_K_M": "用 -q 给出，例如 -q Q4_K_M",
    "give a folder with -o": "用 -o 给出一个文件夹",
    "give one with --imatrix FILE, or choose a larger type": (
        "用 --imatrix FILE 给出，或选择更大的类型"
    ),
    "the checkpoint is damaged: download it again": "检查点已损坏：请重新下载",
    "choose another type, BF16 or F32 for instance": "请选择其他类型，例如 BF16 或 F32",
    "give one a GPU": "每个 GPU 给一份",
    "there are {names}": "有 {names}",
    "in a chat: /preset save NAME": "在对话中：/preset save 名称",
    "take letters and digits, with . - _ in between": "请用字母和数字，中间可有 . - _",
    "take another one": "请换一个名称",
    "edit {path}": "编辑 {path}",
    "fetch the file again": "请重新下载该文件",
    "use the model's unquantized checkpoint": "请使用未量化的检查点",
    "give a folder with config.json and *.safetensors, or org/name on the hub": (
        "请给出含 config.json 和 *.safetensors 的文件夹，或 hub 上的 org/name"
    ),
    "give the folder that holds it": "请给出包含它的文件夹",
    "wait for it; one run takes several -q at once": "等它完成；一次运行可以给多个 -q",
    "is the download complete?": "下载完整吗？",
    "is config.json the one that belongs to these weights?": "config.json 与这些权重是一套吗？",
    "{command}, or use a checkpoint in safetensors": "{command}，或使用 safetensors 格式的检查点",
    "types: {names}": "类型：{names}",
    "llama.cpp does not know this kind of tokenizer": "llama.cpp 不认识这种分词器",
    "download the file again": "请重新下载该文件",
    "put the tokenizer's files beside the weights": "请把分词器的文件放在权重旁边",
    "fetch the index and the shards from the same revision": "请从同一版本获取索引和分片",
    "fetch the missing files": "请下载缺少的文件",
    "fetch the shards again": "请重新下载分片",
    "fetch the index file too": "请把索引文件也下载下来",
    "give a Hugging Face checkpoint: config.json and *.safetensors": (
        "请给出 Hugging Face 检查点：config.json 和 *.safetensors"
    ),
    "its GGUF files are ready to use: {command}": "它的 GGUF 文件可以直接使用：{command}",
    "load a model that was trained for embeddings": "请加载为嵌入训练的模型",
    "split it": "请把它拆开",
    "start llama.cpp's rpc-server there, and check host and port": (
        "请在那里启动 llama.cpp 的 rpc-server，并检查主机和端口"
    ),
    "write it anew: {command}": "请重新写一遍：{command}",
    "reinstall it: {command}": "请重新安装：{command}",
    "load the model with a smaller n_ctx or fewer n_gpu_layers": (
        "请用更小的 n_ctx 或更少的 n_gpu_layers 加载模型"
    ),
    "sus-local models verify tells whether the file is whole": (
        "sus-local models verify 可检查文件是否完整"
    ),
    "try a smaller n_ctx, or kv_type='q8_0'": "请试试更小的 n_ctx，或 kv_type='q8_0'",
    "convert a checkpoint with: {command}": "转换检查点：{command}",
    "load it again": "请重新加载",
    "see grammars/README.md of llama.cpp; the first rule is root": (
        "请参阅 llama.cpp 的 grammars/README.md；首条规则名为 root"
    ),
    "leave out what is named, or give its rules in the prompt": (
        "请去掉所指的部分，或在提示词中说明其规则"
    ),
    "the grammar or schema asks for what the vocabulary cannot say": (
        "语法或模式要求的内容，词表无法表达"
    ),
    "give the inner groups rules of their own": "请把内层分组写成单独的规则",
    "write it as UTF-8": "请使用 UTF-8",
    "the file of that name is not a GGUF file: sus-local convert makes one": (
        "这个名字的文件不是 GGUF 文件：sus-local convert 可以制作"
    ),
    "only files from sus-local convert and sus-local pull have checksums": (
        "只有 sus-local convert 和 sus-local pull 得到的文件有校验和"
    ),
    "convert or pull it again": "请重新转换或下载",
    "wait a moment": "请稍候",
    "close other programs, or take a smaller model": "请关闭其他程序，或使用更小的模型",
    "this is a mistake in sus-local: run again with SUS_LOCAL_DEBUG=1 and report what it says": (
        "这是 sus-local 的错误：请用 SUS_LOCAL_DEBUG=1 再运行一次，并报告其输出"
    ),
    "try `sus-local demo --chat`, or get the real one: {command}": (
        "试试 sus-local demo --chat，或获取真正的模型：{command}"
    ),
    "name one of them": "请指明其中一个",
    "name one of them: {name}": "请指明其中一个：{name}",
    "a JSON file of `history export`, of /save, or a list of chat messages": (
        "应为 history export 或 /save 的 JSON 文件，或消息列表"
    ),
    "shift, rebuild or error": "可以是 shift、rebuild 或 error",
    "its turns are {turns}": "它的各轮是 {turns}",
    "send something": "请先发送内容",
    "send something, or switch to one of them": "请发送内容，或切换到其中一轮",
    "give that one too, with a smaller id, or leave out what follows it": (
        "请把后者也给出，且编号更小，或去掉接在它之后的"
    ),
    "give it as one string": "请作为一个字符串给出",
    "exact or retokenize": "可以是 exact 或 retokenize",
    "close or cancel in a finalizer, and ask for nothing": (
        "在终结器中只关闭或取消，不要请求任何内容"
    ),
    "load it after the fork": "请在 fork 之后加载",
    "regenerate() gives another one": "regenerate() 可以再给一个",
    "for instance SamplingParams(temperature=0)": "例如 SamplingParams(temperature=0)",
    "leave at least one": "请至少留下一个",
    "give logprobs=True too": "请同时给出 logprobs=True",
    "leave it out where there are no rules": "没有规则时请去掉它",
    "of a schema as text: json.loads(text)": "模式是文本时：json.loads(text)",
    "another program holds it; close that, then try again": "另一个程序占用着它；关闭后再试",
    "free some space; what was saved before is safe": "请腾出空间；以前保存的内容是安全的",
    "nothing was changed; move the file away to begin a new one": (
        "没有任何改动；把该文件移走即可新建一个"
    ),
    "/new begins another": "/new 开始新的对话",
    "what was saved before is safe": "以前保存的内容是安全的",
    "upgrade sus-local, or set SUS_LOCAL_HOME to another folder": (
        "请升级 sus-local，或把 SUS_LOCAL_HOME 设为另一个文件夹"
    ),
    "try again later, or from another network": "请稍后再试，或换一个网络",
    "report this, with the model": "请报告此问题，并说明所用的模型",
    "give some text": "请给出文本",
    "shorten it, or load the model with a larger n_ctx": "请缩短它，或用更大的 n_ctx 加载模型",
    "try again when some are done": "请等一些完成后再试",
    "close the program that uses it, choose another place, or change its permissions": (
        "请关闭占用它的程序，或换一个位置，或修改其权限"
    ),
    "check the path, and the disk that it is on": "请检查路径及其所在的磁盘",
    "choose another disk: this one takes no larger file": "请换一个磁盘：这个磁盘不接受更大的文件",
    "close other programs, or raise the limit of open files (ulimit -n)": (
        "请关闭其他程序，或提高打开文件数的上限（ulimit -n）"
    ),
    "choose another disk, or convert with --split-size 4G: this one takes no larger file": (
        "请换一个磁盘，或用 --split-size 4G 转换：这个磁盘不接受更大的文件"
    ),
    "give a number of tokens, or leave it out": "请给出 token 数，或不给出",
    "choose another place, or change its permissions": "请换一个位置，或修改其权限",
    "free some space, then run the same command again": "请腾出空间，再运行同一命令",
    "convert or download it again": "请重新转换或下载",
    "sus-local convert makes one": "sus-local convert 可以生成",
    "wait a moment, then run the same command again": "请稍候，再运行同一命令",
    "accept its licence at {url}, then: {command}": "请在 {url} 接受其许可证，然后：{command}",
    "unset HF_HUB_OFFLINE, then run the same command again": (
        "请取消 HF_HUB_OFFLINE，再运行同一命令"
    ),
    "give org/name, as its page is called": "请给出 org/name，与其页面的名称相同",
    "set HF_TOKEN anew, without quotation marks, or: hf auth login": (
        "请重新设置 HF_TOKEN，不要带引号，或：hf auth login"
    ),
    "set HF_TOKEN to one that is valid, or unset it and: hf auth login": (
        "请把 HF_TOKEN 设为有效的令牌，或取消它并：hf auth login"
    ),
    "set HF_ENDPOINT to one that begins with https://, or unset it": (
        "请把 HF_ENDPOINT 设为以 https:// 开头的地址，或取消它"
    ),
    "its branches, tags and commits are at {url}": "它的分支、标签和提交见 {url}",
    "see {url}": "请看 {url}",
    "check the name and HF_ENDPOINT, or see {url}": "请检查名称和 HF_ENDPOINT，或看 {url}",
    "it will not answer otherwise: check HF_ENDPOINT, or see {url}": (
        "再试也是同样的回答：请检查 HF_ENDPOINT，或看 {url}"
    ),
    "check HF_ENDPOINT, the proxy, and whether a login page is in between": (
        "请检查 HF_ENDPOINT、代理，以及是否有登录页面拦截"
    ),
    "check HF_ENDPOINT and the proxy: parts of files are mixed up there": (
        "请检查 HF_ENDPOINT 和代理：文件的各部分在那里混淆了"
    ),
    "give a branch, tag or commit": "请给出分支、标签或提交",
    "run the same command again later: it goes on where it was": (
        "请稍后再运行同一命令：它会从中断处继续"
    ),
    "choose another repository; those of GGUF files are mostly called …-GGUF": (
        "请选择另一个仓库；含 GGUF 文件的仓库名称多以 -GGUF 结尾"
    ),
    "check the connection, then run the same command again": "请检查网络连接，再运行同一命令",
    "check the name; for a private one: hf auth login, or set HF_TOKEN": (
        "请检查名称；私有仓库：hf auth login，或设置 HF_TOKEN"
    ),
    "download or convert it again": "请重新下载或转换",
    "download or convert the model again": "请重新下载或转换该模型",
    "this would fit: {settings}": "这样可以放下：{settings}",
    "close other programs: {taken} of {total} are taken": (
        "请关闭其他程序：{total} 中已占用 {taken}"
    ),
    "no smaller setting fits: use a smaller model or a machine with more memory": (
        "没有更小的设置可以放下：请使用更小的模型或内存更大的机器"
    ),
    "give auto, -1 for all, or a number": "请给 auto、-1（全部）或数字",
    "leave flash_attn at auto, or take kv_type f16": (
        "请让 flash_attn 保持 auto，或使用 kv_type f16"
    ),
    "choose a LLaMA model, such as SUS-Chat-34B": "请选择 LLaMA 架构的模型，例如 SUS-Chat-34B",
    "free some space, or choose a smaller quantization": "请腾出空间，或选择更小的量化",
    "move it away": "请把它移走",
    "move it away, or: {command}": "请把它移走，或：{command}",
    "wait for it": "请等它完成",
    "give one": "请只给一个",
    "leave it out": "请去掉它",
    "give at least one user message": "请至少给出一条用户消息",
    "add a user message after it": "请在其后添加一条用户消息",
    "the roles are system, user and assistant": "角色有 system、user 和 assistant",
    "give the content as one string": "请把内容作为一个字符串给出",
    "user and assistant alternate; one system message may come first": (
        "user 与 assistant 交替出现；最前面可以有一条系统消息"
    ),
    "did you mean {names}? All: sus-local models list": (
        "是不是 {names}？全部：sus-local models list"
    ),
    "no model is here yet: sus-local demo, or sus-local pull org/repo:Q4_K_M": (
        "这里还没有模型：sus-local demo，或 sus-local pull org/repo:Q4_K_M"
    ),
    "a checkpoint's folder is converted first: {command}": "检查点文件夹要先转换：{command}",
    "{one}, or {other}": "{one}，或 {other}",
    "start a new conversation, or load a larger n_ctx": "请开始新的对话，或用更大的 n_ctx 加载",
    "set SUS_LOCAL_HOME to another folder": "请把 SUS_LOCAL_HOME 设为另一个文件夹",
    "install sus-local in a newer Python": "请在更新的 Python 中安装 sus-local",
    "give org/repo or org/repo:QUANT, for instance org/repo:Q4_K_M": (
        "请给出 org/repo 或 org/repo:QUANT，例如 org/repo:Q4_K_M"
    ),
    "wait {seconds} s, as the hub asks, then run the same command again": (
        "请按 hub 的要求等待 {seconds} 秒，再运行同一命令"
    ),
}
