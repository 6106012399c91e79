"""Writes what training left as a Hugging Face folder.

python -m tools.demo_model.checkpoint --state build/demo --out sus_local/demo/checkpoint
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tools.demo_model.model import DemoModel, Shape

_SHARDS = 2


def config(shape: Shape) -> dict[str, object]:
    """``config.json``, with the keys that SUS-Chat-34B's has."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": shape.context,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": 0,
        "rms_norm_eps": shape.rms_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }


GENERATION = {"bos_token_id": 1, "do_sample": False, "eos_token_id": 2, "pad_token_id": 0}
TOKENIZER = {
    "add_bos_token": False,
    "add_eos_token": False,
    "add_prefix_space": False,
    "bos_token": "<|startoftext|>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "<|endoftext|>",
    "legacy": False,
    "model_max_length": 8192,
    "pad_token": "<unk>",
    "sp_model_kwargs": {},
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
}


def save(model: DemoModel, tokenizer: Path, out: Path) -> None:
    """Writes the whole folder: configuration, tokenizer, shards and their index."""
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "config.json", config(model.shape))
    _write_json(out / "generation_config.json", GENERATION)
    _write_json(out / "tokenizer_config.json", TOKENIZER)
    shutil.copyfile(tokenizer, out / "tokenizer.model")
    _save_shards({name: p.detach().bfloat16() for name, p in model.named_parameters()}, out)


def _save_shards(tensors: dict[str, Tensor], out: Path) -> None:
    total = sum(tensor.nbytes for tensor in tensors.values())
    shards: list[dict[str, Tensor]] = [{} for _ in range(_SHARDS)]
    passed = 0
    for name, tensor in tensors.items():
        shards[passed * _SHARDS // total][name] = tensor
        passed += tensor.nbytes
    index = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{_SHARDS:05}.safetensors"
        save_file(shard, out / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(shard, file))
    _write_json(
        out / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": index},
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def trained(folder: Path) -> DemoModel:
    """The model in the ``state.pt`` that training left in ``folder``."""
    model = DemoModel(Shape())
    state = torch.load(folder / "state.pt", map_location="cpu")
    model.load_state_dict(state["mean"]["weights"] or state["model"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--state", type=Path, required=True, help="folder of state.pt and tokenizer.model"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    save(trained(arguments.state), arguments.state / "tokenizer.model", arguments.out)


if __name__ == "__main__":
    main()
