#!/usr/bin/env python3
"""Writes a model of random weights, small enough for a test: two layers of the llama shape and
one token per byte. What it answers means nothing; how a server reads, keeps and shares prompts
is the same as with a large one.

    make_tiny_model.py OUT.gguf

The format is GGUF version 3 (ggml, docs/gguf.md): a header, typed key-value pairs, the
descriptions of the tensors, and their values, each aligned to 32 bytes.
"""
import array
import random
import struct
import sys

LAYERS, WIDTH, HEADS, FEED, CONTEXT = 2, 64, 2, 128, 8192
UINT32, FLOAT32, BOOL, STRING, ARRAY, INT32 = 4, 6, 7, 8, 9, 5
ALIGN = 32
TEMPLATE = (
    "{% for m in messages %}[{{m['role']}}]\n{{m['content']}}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)

TOKENS = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
UNKNOWN, CONTROL, BYTE = 2, 3, 6  # kinds of a token
KINDS = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, v):
    if kind == STRING:
        return text(v)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], v)


def pair(key, kind, v):
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def row(key, kind, values):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(value(kind, v) for v in values)


def facts():
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "tiny-random"),
        pair("general.alignment", UINT32, ALIGN),
        pair("llama.context_length", UINT32, CONTEXT),
        pair("llama.embedding_length", UINT32, WIDTH),
        pair("llama.block_count", UINT32, LAYERS),
        pair("llama.feed_forward_length", UINT32, FEED),
        pair("llama.attention.head_count", UINT32, HEADS),
        pair("llama.attention.head_count_kv", UINT32, HEADS),
        pair("llama.rope.dimension_count", UINT32, WIDTH // HEADS),
        pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        pair("llama.vocab_size", UINT32, len(TOKENS)),
        pair("tokenizer.ggml.model", STRING, "llama"),
        pair("tokenizer.ggml.pre", STRING, "default"),
        row("tokenizer.ggml.tokens", STRING, TOKENS),
        row("tokenizer.ggml.scores", FLOAT32, [0.0] * len(TOKENS)),
        row("tokenizer.ggml.token_type", INT32, KINDS),
        pair("tokenizer.ggml.bos_token_id", UINT32, 1),
        pair("tokenizer.ggml.eos_token_id", UINT32, 2),
        pair("tokenizer.ggml.unknown_token_id", UINT32, 0),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair("tokenizer.ggml.add_space_prefix", BOOL, False),
        pair("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def tensors():
    """Name, shape (innermost first), and whether it is a norm (all ones)."""
    vocabulary = len(TOKENS)
    yield "token_embd.weight", (WIDTH, vocabulary), False
    yield "output.weight", (WIDTH, vocabulary), False
    yield "output_norm.weight", (WIDTH,), True
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{i}.{name}.weight", (WIDTH, WIDTH), False
        yield f"blk.{i}.ffn_gate.weight", (WIDTH, FEED), False
        yield f"blk.{i}.ffn_up.weight", (WIDTH, FEED), False
        yield f"blk.{i}.ffn_down.weight", (FEED, WIDTH), False
        yield f"blk.{i}.attn_norm.weight", (WIDTH,), True
        yield f"blk.{i}.ffn_norm.weight", (WIDTH,), True


def weights(rng, shape, is_norm):
    n = shape[0] * (shape[1] if len(shape) > 1 else 1)
    values = array.array("f", (1.0 if is_norm else rng.gauss(0, 0.05) for _ in range(n)))
    if sys.byteorder != "little":
        values.byteswap()
    return values.tobytes()


def padded(raw):
    return raw + b"\0" * (-len(raw) % ALIGN)


def main():
    rng = random.Random(1)
    pairs, descriptions, data = facts(), [], b""
    for name, shape, is_norm in tensors():
        dims = struct.pack(f"<{len(shape)}Q", *shape)
        place = struct.pack("<IQ", 0, len(data))  # type 0: 32-bit floats
        descriptions.append(text(name) + struct.pack("<I", len(shape)) + dims + place)
        data += padded(weights(rng, shape, is_norm))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(descriptions), len(pairs))
    with open(sys.argv[1], "wb") as out:
        out.write(padded(head + b"".join(pairs) + b"".join(descriptions)) + data)


if __name__ == "__main__":
    main()
