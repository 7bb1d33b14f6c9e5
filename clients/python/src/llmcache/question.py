"""What is asked, and in which context: the identity of an answer."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar, overload

Prompt = str | bytes | Mapping[str, Any]
Word = str | bytes | int | float

#: What cannot change the answer, so two requests that differ in it are one.
IRRELEVANT = frozenset(
    [
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
    ]
)


T = TypeVar("T")


class _once(Generic[T]):
    """A property that is computed once for an object. Unlike functools' own it takes no lock: until Python 3.12 that is
    one for all objects, and would stay taken in a process that is forked meanwhile."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, one: None, kind: Any) -> _once[T]: ...

    @overload
    def __get__(self, one: object, kind: Any) -> T: ...

    def __get__(self, one: object | None, kind: Any) -> _once[T] | T:
        if one is None:
            return self
        value = self._compute(one)
        one.__dict__[self._compute.__name__] = value
        return value


@dataclass(frozen=True)
class Question:
    """A prompt, or the body of a chat request, with what its answer depends on.

    A mapping as `prompt` is a request body: model, system and parameters stand in it.
    """

    prompt: Prompt
    model: str = ""
    system: str = ""
    params: Mapping[str, Any] | None = None
    scope: str = ""
    #: For caches of SIMILARITY vector.
    vector: Sequence[float] | bytes | None = None

    def __post_init__(self) -> None:
        if self.is_request and (self.model or self.system or self.params):
            raise ValueError("a request has its model, system and params in itself")

    @property
    def is_request(self) -> bool:
        """Whether the prompt is the body of a request."""
        return isinstance(self.prompt, Mapping)

    @_once
    def prompt_word(self) -> str | bytes:
        """The prompt as it is sent."""
        if isinstance(self.prompt, Mapping):
            return json.dumps(self.prompt, ensure_ascii=False, separators=(",", ":"))
        return self.prompt

    def identity(self) -> list[Word]:
        """The options that name the context."""
        words: list[Word] = []
        for name, value in (("MODEL", self.model), ("SYSTEM", self.system), ("SCOPE", self.scope)):
            if value:
                words += [name, value]
        if self.params:
            words += ["PARAMS", json.dumps(self.params, ensure_ascii=False)]
        if self.is_request:
            words.append("REQUEST")
        return words

    def words(self) -> list[Word]:
        """The prompt and the options that say what is asked."""
        words: list[Word] = [self.prompt_word, *self.identity()]
        if isinstance(self.vector, bytes):
            words += ["FP32", self.vector]
        elif self.vector is not None:
            words += ["FP32", struct.pack(f"<{len(self.vector)}f", *self.vector)]
        return words

    @_once
    def context(self) -> bytes:
        """Names the context: equal ones have equal names. Coarser than the server's, so that it may decide where
        an answer is looked for."""
        if isinstance(self.prompt, Mapping):
            model = str(self.prompt.get("model") or "")
            return _digest("request", self.scope, model)
        return _digest("prompt", self.scope, self.model, self.system, canonical(self.params or {}))

    @_once
    def digest(self) -> str:
        """Names the question where there is no server to do so."""
        if isinstance(self.prompt, Mapping):
            body = {key: value for key, value in self.prompt.items() if key not in IRRELEVANT}
            asked = canonical(body).encode()
        else:
            asked = self.prompt.encode() if isinstance(self.prompt, str) else self.prompt
        return _digest(self.context, asked).hex()[:32]

    def model_name(self) -> str:
        """The model, wherever it stands."""
        if isinstance(self.prompt, Mapping):
            return str(self.prompt.get("model") or "")
        return self.model

    def on(self, **changes: Any) -> Question:
        """The same question but for this."""
        return replace(self, **changes)


def ask(question: Question | Prompt, **context: Any) -> Question:
    """A question, of one or of what one is made of."""
    if isinstance(question, Question):
        return question.on(**context) if context else question
    return Question(question, **context)


def canonical(value: Any) -> str:
    """JSON in one form: equal values are equal texts, whatever the order of keys, and whether 0 or 0.0."""
    return json.dumps(_compared(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _compared(value: Any) -> Any:
    """JSON as a server compares it; to tell any two values of Python apart there is `plain`."""
    if isinstance(value, Mapping):
        return {str(key): _compared(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_compared(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Decimal):
        return _compared(float(value))
    return value


def _digest(*parts: str | bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
