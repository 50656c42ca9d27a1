"""What a scripted model server answers to texts that are to be embedded: vectors that can be told from the texts."""

import json
import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import cast

from dagi.testing.upstream_script import Protocol

DIMENSIONS = 4


def vector(text: object, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text, or of numbers of tokens: its length, then zeros."""
    return [float(len(text) if isinstance(text, str | list) else 1), *[0.0] * (dimensions - 1)]


def vectors_body(protocol: Protocol, asked: Mapping[str, object]) -> bytes:
    """The vectors of a request's texts. The last one comes first: whoever relies on the order is found out."""
    given = asked.get("input")
    texts = cast("list[object]", given) if isinstance(given, list) else [given]
    if texts and isinstance(texts[0], int):
        texts = [texts]
    wished = asked.get("dimensions")
    made = [vector(text, wished if isinstance(wished, int) else DIMENSIONS) for text in texts]
    model = asked.get("model")
    if protocol == "ollama":
        return _json({"model": model, "embeddings": made, "prompt_eval_count": 3 * len(made)})
    compact = asked.get("encoding_format") == "base64"
    data = [{"object": "embedding", "index": place, "embedding": _compact(one) if compact else one} for place, one in enumerate(made)]
    usage = {"prompt_tokens": 3 * len(made), "total_tokens": 3 * len(made)}
    return _json({"object": "list", "data": data[::-1], "model": model, "usage": usage})


def _compact(numbers: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
