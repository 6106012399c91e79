"""The Chinese of the errors of ``sus_local.convert``."""

from __future__ import annotations

from collections.abc import Mapping

CONVERT_ERRORS: Mapping[str, str] = {
    "tokenizer.json cannot be understood: {error}": "无法理解 tokenizer.json：{error}",
    "no tensor that is quantized matches {pattern}": "没有要量化的张量与 {pattern} 匹配",
    "no permission to write in {folder}": "没有在 {folder} 中写入的权限",
    "{name} has {count} entries, none for a tensor of this model": (
        "{name} 有 {count} 项，没有一项对应该模型的张量"
    ),
    "the tokenizer's files cannot be understood: {kind}: {error}": (
        "无法理解分词器的文件：{kind}：{error}"
    ),
    "tokenizer.model lacks {count} of 256 bytes, {name} first": (
        "tokenizer.model 缺少 256 个字节中的 {count} 个，第一个是 {name}"
    ),
    "tokenizer_config.json has the text {text} for the added token {key}": (
        "tokenizer_config.json 中附加 token {key} 的文本是 {text}"
    ),
    "{source} is a folder, which has no revision {revision}": (
        "{source} 是文件夹，没有版本 {revision}"
    ),
    "tokenizer.json has the merge {merge}, expected two texts": (
        "tokenizer.json 中的合并规则是 {merge}，应为两段文本"
    ),
    "tokenizer.json of the kind {kind} is not supported without tokenizer.model": (
        "没有 tokenizer.model 时不支持 {kind} 类型的 tokenizer.json"
    ),
    "tokenizer.json has the token id {largest}, the model only {count} tokens": (
        "tokenizer.json 中有 token 编号 {largest}，模型只有 {count} 个 token"
    ),
    "the pre-tokenizer of tokenizer.json ({told}) is none that llama.cpp has a name for": (
        "tokenizer.json 的预分词器（{told}）在 llama.cpp 中没有名称"
    ),
    "a tokenizer.json can be checked only with the package tokenizers": (
        "只有安装了 tokenizers 包才能检查 tokenizer.json"
    ),
    "config.json names no architecture": "config.json 没有指明架构",
    "the architecture {name} is not supported": "不支持架构 {name}",
    "the weights are quantized already ({method})": "权重已经量化过（{method}）",
    "the activation {name} is not supported": "不支持激活函数 {name}",
    "sliding-window attention of {window} tokens is not supported": (
        "不支持 {window} 个 token 的滑动窗口注意力"
    ),
    "{count} layers, llama.cpp takes at most {most}": "有 {count} 层，llama.cpp 最多接受 {most} 层",
    "hidden_size {hidden} is not a multiple of num_attention_heads {heads}": (
        "hidden_size {hidden} 不是 num_attention_heads {heads} 的倍数"
    ),
    "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}": (
        "num_attention_heads {heads} 不是 num_key_value_heads {kv_heads} 的倍数"
    ),
    "head_dim {size} is odd, rotary positions need pairs": (
        "head_dim {size} 是奇数，旋转位置编码需要成对"
    ),
    "{key} in config.json is {what}": "config.json 中的 {key}：{what}",
    "{key} in config.json is {value}, expected a number": (
        "config.json 中的 {key} 是 {value}，应为数字"
    ),
    "the rope scaling {kind} is not supported": "不支持 rope 缩放 {kind}",
    "a mixture of {count} experts ({key}) is not supported": (
        "不支持 {count} 个专家的混合模型（{key}）"
    ),
    "{name} is gone": "{name} 不见了",
    "{why}; of its copy in the cache: {error}": "{why}；关于缓存中的副本：{error}",
    "{label} has only pytorch_model*.bin, which cannot be read as a stream": (
        "{label} 只有 pytorch_model*.bin，无法流式读取"
    ),
    "{name} has {size} values for {tensor}, which has {columns} columns": (
        "{name} 中 {tensor} 有 {size} 个值，而该张量有 {columns} 列"
    ),
    "{name} is no importance matrix: {error}": "{name} 不是重要性矩阵：{error}",
    "{name} holds values for {tensor} that are not finite": "{name} 中 {tensor} 的值不是有限数",
    "{output} is being written by {who}": "{output} 正由{who}写入",
    "{name} is corrupt: its SHA-256 is {digest}, the hub's is {expected}": (
        "{name} 已损坏：它的 SHA-256 是 {digest}，hub 的是 {expected}"
    ),
    "{name} changed while it was in use: {size} bytes, before {before}": (
        "{name} 在使用中被改变：现在 {size} 字节，之前 {before} 字节"
    ),
    "{text} is no NAME=TYPE": "{text} 不是 NAME=TYPE 的形式",
    "{name} is no regular expression: {error}": "{name} 不是正则表达式：{error}",
    "{what} of {name} is not on disk as it was written": "{name} 的 {what} 在磁盘上与写入的不同",
    "no type is given": "没有给出类型",
    "{folder} is neither a .gguf file nor a folder": "{folder} 既不是 .gguf 文件也不是文件夹",
    "{count} types cannot go into one file {output}": "{count} 种类型不能放进同一个文件 {output}",
    "{mixture} stores {tensor} as {type}, which needs an importance matrix, and one {lacks}": (
        "{mixture} 把 {tensor} 存为 {type}，这需要重要性矩阵，而它{lacks}"
    ),
    "{tensor} is {value} at row {row}, column {column}": (
        "{tensor} 在第 {row} 行第 {column} 列是 {value}"
    ),
    "{tensor} has values too large for {type}, up to {largest}": (
        "{tensor} 的值对 {type} 来说太大，最大 {largest}"
    ),
    "{name} is truncated: it has {size} bytes of {needed}": (
        "{name} 不完整：{needed} 字节中只有 {size} 字节"
    ),
    "{name} has a damaged safetensors header: {why}": "{name} 的 safetensors 文件头已损坏：{why}",
    "{name} is not a safetensors file: its header would take {length} bytes": (
        "{name} 不是 safetensors 文件：它的文件头会有 {length} 字节"
    ),
    "tensor {tensor} in {name} has the unknown type {type}": (
        "{name} 中张量 {tensor} 的类型 {type} 未知"
    ),
    "tensor {tensor} in {name} ({type}, {dims}) has {size} bytes, not {expected}": (
        "{name} 中张量 {tensor}（{type}，{dims}）有 {size} 字节，而不是 {expected}"
    ),
    "{name} has {size} bytes, {more} more than its header tells": (
        "{name} 有 {size} 字节，比文件头所说的多 {more}"
    ),
    "{name} is no sentencepiece model: {error}": "{name} 不是 sentencepiece 模型：{error}",
    "no such folder: {source}": "没有这个文件夹：{source}",
    "{name} is a file, not a folder": "{name} 是文件，不是文件夹",
    "another conversion fetches {name} to {folder}": "另一个转换正在把 {name} 下载到 {folder}",
    "the checkpoint has no tensor {tensor}": "检查点没有张量 {tensor}",
    "{tensor} has the shape {shape}, expected {expected}": (
        "{tensor} 的形状是 {shape}，应为 {expected}"
    ),
    "{tensor} has the type {type}, expected one of {known}": (
        "{tensor} 的类型是 {type}，应为 {known} 之一"
    ),
    "the checkpoint has a tensor {tensor} that a {architecture} of this configuration has not": (
        "检查点有张量 {tensor}，而这种配置的 {architecture} 没有它"
    ),
    "{name} does not hold tensors by name": "{name} 中的张量没有名称",
    "tensor {tensor} in {name} is stored as {layout}, not densely": (
        "{name} 中张量 {tensor} 以 {layout} 存储，不是稠密的"
    ),
    "{name} needs torch, which is not installed": "{name} 需要 torch，而它没有安装",
    "{name} is damaged: {why}": "{name} 已损坏：{why}",
    "{name} holds more than tensors: {key}": "{name} 中不只有张量：{key}",
    "no type {name}": "没有类型 {name}",
    "llama.cpp would encode {text} otherwise than the checkpoint's tokenizer: at "
    "token {at} {found}, expected {wanted}": (
        "llama.cpp 对 {text} 的编码与原分词器不同：第 {at} 个 token 是 {found}，应为 {wanted}"
    ),
    "the chat template renders {found}, expected {expected}": (
        "聊天模板得到 {found}，应为 {expected}"
    ),
    "tokenizer.model is no sentencepiece model: {error}": (
        "tokenizer.model 不是 sentencepiece 模型：{error}"
    ),
    "llama.cpp cannot load the converted vocabulary": "llama.cpp 无法加载转换后的词表",
    "{name} has no tokenizer.model and no tokenizer.json": (
        "{name} 没有 tokenizer.model，也没有 tokenizer.json"
    ),
    "tokenizer.model has {count} pieces, the model only {most}": (
        "tokenizer.model 有 {count} 个词条，模型只有 {most} 个"
    ),
    "{name} holds no JSON object": "{name} 中没有 JSON 对象",
    "{name} cannot be read: {error}": "无法读取 {name}：{error}",
    "{name} has no {what}": "{name} 没有 {what}",
    "tensor {tensor} is in {shard}, but {where}": "张量 {tensor} 在 {shard} 中，但{where}",
    "{name} has no weight_map": "{name} 没有 weight_map",
    "{count} of {total} shards are missing from {name}; the first is {shard}": (
        "{name} 的 {total} 个分片缺少 {count} 个，第一个是 {shard}"
    ),
    "{name} is not a JSON object": "{name} 不是 JSON 对象",
    "{count} tensors of the index are in no shard; the first is {tensor}, expected in {shard}": (
        "索引中有 {count} 个张量不在任何分片中，第一个是 {tensor}，应在 {shard} 中"
    ),
    "tensor {tensor} is in two shards: {one} and {other}": (
        "张量 {tensor} 同时在两个分片中：{one} 和 {other}"
    ),
    "{name} has {count} shards such as {shard}, but no {index}": (
        "{name} 有 {count} 个分片（如 {shard}），但没有 {index}"
    ),
    "{name} names a shard {shard}, which is no file name": "{name} 中的分片名 {shard} 不是文件名",
    "{name} is not JSON: {why}": "{name} 不是 JSON：{why}",
    "{name} is in torch's old format, which cannot be mapped into memory": (
        "{name} 是 torch 的旧格式，无法映射到内存"
    ),
}
