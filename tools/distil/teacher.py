"""The teacher: all-MiniLM-L6-v2 as an ONNX graph for plain CPUs.

The graph is built here from the published weights instead of being exported from torch, which keeps some gigabytes of
dependencies out. It has no attention mask: prompts are grouped by their exact number of tokens, so that a batch never
holds padding, and padding is what labelling on a CPU would otherwise spend half of its time on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Floats = NDArray[np.float32]

DIMS = 384
LAYERS = 6
HEADS = 12
LAYER_NORM_EPSILON = 1e-12
MAX_TOKENS = 256
TOKENS_PER_BATCH = 2048


def load_tokenizer(folder: Path) -> Tokenizer:
    """The teacher's own tokenizer, without the truncation and the padding that its file asks for."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Teacher:
    """Sentence vectors (mean pooling, normalised) of texts or of ready token ids."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.tokenizer = load_tokenizer(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(build_graph(folder), options, providers=["CPUExecutionProvider"])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors of `texts`, [CLS] and [SEP] included, in the order given."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        return self.encode_ids([shorten(e.ids) for e in encodings])

    def encode_ids(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Vectors of token ids, special tokens being the caller's business."""
        out = np.empty((len(rows), DIMS), np.float32)
        for batch in batches_of_one_length([len(row) for row in rows]):
            ids = np.array([rows[i] for i in batch], np.int64)
            (pooled,) = self.session.run(None, {"ids": ids, "positions": np.arange(ids.shape[1])})
            out[batch] = pooled
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out


def shorten(ids: list[int]) -> list[int]:
    """The teacher reads no more than 256 tokens; the last one stays [SEP]."""
    return ids if len(ids) <= MAX_TOKENS else ids[: MAX_TOKENS - 1] + ids[-1:]


def batches_of_one_length(lengths: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """Indices of rows of equal length, in batches of about `TOKENS_PER_BATCH` tokens."""
    array = np.asarray(lengths)
    order = np.argsort(array, kind="stable")
    starts = np.flatnonzero(np.diff(array[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        if len(group) == 0:
            continue
        size = max(1, TOKENS_PER_BATCH // max(1, int(array[group[0]])))
        for start in range(0, len(group), size):
            yield group[start : start + size]


def build_graph(folder: Path) -> bytes:
    """The six layers in onnxruntime's fused operators; checked against `config.json` of the weights."""
    check_config(folder)
    weights = load_file(str(folder / "model.safetensors"))
    initializers = []
    nodes = []

    def constant(name: str, value: Floats) -> str:
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, domain=domain, **attributes))
        return output

    def fused(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        return node(kind, inputs, output, "com.microsoft", **attributes)

    def dense(source: str, key: str, output: str) -> str:
        return node("MatMul", [source, constant(f"{key}.w", weights[f"{key}.weight"].T)], output)

    def residual(source: str, skip: str, key: str) -> str:
        gamma = constant(f"{key}.gamma", weights[f"{key}.LayerNorm.weight"])
        beta = constant(f"{key}.beta", weights[f"{key}.LayerNorm.bias"])
        bias = constant(f"{key}.b", weights[f"{key}.dense.bias"])
        inputs = [dense(source, f"{key}.dense", f"{key}.d"), skip, gamma, beta, bias]
        return fused("SkipLayerNormalization", inputs, f"{key}.n", epsilon=LAYER_NORM_EPSILON)

    words = constant("words", weights["embeddings.word_embeddings.weight"])
    types = weights["embeddings.token_type_embeddings.weight"]
    places = constant("places", weights["embeddings.position_embeddings.weight"] + types[0])
    word, place = node("Gather", [words, "ids"], "word"), node("Gather", [places, "positions"], "place")
    embedded = node("Add", [word, place], "embedded")
    gamma = constant("embeddings.gamma", weights["embeddings.LayerNorm.weight"])
    beta = constant("embeddings.beta", weights["embeddings.LayerNorm.bias"])
    state = node("LayerNormalization", [embedded, gamma, beta], "state", axis=-1, epsilon=LAYER_NORM_EPSILON)

    for layer in range(LAYERS):
        key = f"encoder.layer.{layer}"
        parts = [f"{key}.attention.self.{part}" for part in ("query", "key", "value")]
        qkv = constant(f"{key}.qkv.w", np.concatenate([weights[f"{p}.weight"].T for p in parts], axis=1))
        bias = constant(f"{key}.qkv.b", np.concatenate([weights[f"{p}.bias"] for p in parts]))
        mixed = fused("Attention", [state, qkv, bias], f"{key}.mixed", num_heads=HEADS)
        state = residual(mixed, state, f"{key}.attention.output")
        inner = f"{key}.intermediate.dense"
        raised = dense(state, inner, f"{inner}.d")
        active = fused("BiasGelu", [raised, constant(f"{inner}.b", weights[f"{inner}.bias"])], f"{inner}.g")
        state = residual(active, state, f"{key}.output")

    axis = numpy_helper.from_array(np.array([1], np.int64), "token_axis")
    initializers.append(axis)
    node("ReduceMean", [state, "token_axis"], "pooled", keepdims=0)
    graph = helper.make_graph(
        nodes,
        "teacher",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"]),
            helper.make_tensor_value_info("positions", TensorProto.INT64, ["tokens"]),
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", DIMS])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def check_config(folder: Path) -> None:
    """Refuse weights of another shape or activation: the graph would run and be wrong."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    expected = {"hidden_size": DIMS, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_act": "gelu"}
    found = {key: config.get(key) for key in expected}
    if found != expected:
        raise ValueError(f"{folder}: not all-MiniLM-L6-v2: {found}")
