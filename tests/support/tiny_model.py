"""A tiny random model that a real llama.cpp serves: about 40,000 parameters, 160 kB, with fill-in-the-middle tokens.

It writes nonsense, and that is enough: what is tested is everything around the model.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

EMBEDDING, HEADS, LAYERS, FEED_FORWARD, CONTEXT = 32, 4, 2, 64, 2048
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
BEGIN = (b"<unk>", b"<s>", b"</s>")
WORDS = ("\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581the", "\u2581a", "\u2581def", "\u2581import", "er", "in")
FIM = (b"<fim_prefix>", b"<fim_suffix>", b"<fim_middle>")


def write_tiny_model(path: Path, context: int = CONTEXT) -> None:
    """Write the model to ``path``, one that holds ``context`` tokens. The same bytes every time."""
    tokens, types = _vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    _write_header(writer, tokens, types, context)
    _write_weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> tuple[list[bytes], list[int]]:
    tokens = [*BEGIN, *(b"<0x%02X>" % byte for byte in range(256)), *(word.encode() for word in WORDS), *FIM]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(WORDS) + [CONTROL] * len(FIM)
    return tokens, types


def _write_header(writer: gguf.GGUFWriter, tokens: list[bytes], types: list[int], context: int) -> None:
    writer.add_name("tiny-random")
    writer.add_context_length(context)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0 if kind != NORMAL else -float(place) for place, kind in enumerate(types)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, token in zip(("pre", "suf", "mid"), range(len(tokens) - 3, len(tokens)), strict=True):
        writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", token)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")


def _write_weights(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, (random.standard_normal(shape) * 0.1).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(EMBEDDING, np.float32))

    tensor("token_embd.weight", vocabulary, EMBEDDING)
    ones("output_norm.weight")
    # Only plain words get weights, and large ones: what it writes can be read on a screenshot, and never ends early.
    output = np.zeros((vocabulary, EMBEDDING), np.float32)
    first = len(BEGIN) + 256
    output[first : first + len(WORDS)] = random.standard_normal((len(WORDS), EMBEDDING)) * 4
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm.weight")
        ones(f"{block}ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"{block}{name}.weight", EMBEDDING, EMBEDDING)
        tensor(f"{block}ffn_gate.weight", FEED_FORWARD, EMBEDDING)
        tensor(f"{block}ffn_up.weight", FEED_FORWARD, EMBEDDING)
        tensor(f"{block}ffn_down.weight", EMBEDDING, FEED_FORWARD)
