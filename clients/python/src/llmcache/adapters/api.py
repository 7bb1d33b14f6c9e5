"""What is particular to each API whose answers are cached."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]


class Collector(ABC):
    """Makes the answer of a stream, as it would have come without one."""

    @abstractmethod
    def add(self, event: Json) -> None:
        """Takes the next event. A ValueError where it cannot be put together with the others."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing comes after this event."""

    @property
    @abstractmethod
    def is_whole(self) -> bool:
        """Whether all of the answer is there, though more may come."""

    @abstractmethod
    def answer(self) -> Json:
        """The answer."""


class Api(ABC):
    """One way to ask a model."""

    #: Where its requests go, and those of a client that was told nothing else.
    path: str
    home: str

    @abstractmethod
    def takes(self, body: Json) -> bool:
        """Whether an answer to it depends on its body alone, so that it may be cached."""

    def apart(self, body: Json) -> Json:
        """What the body says that changes the answer though it counts for nothing elsewhere."""
        return {}

    @abstractmethod
    def collector(self, body: Json) -> Collector:
        """For a stream that answers this request."""

    @abstractmethod
    def events(self, answer: Json, body: Json) -> Iterator[Json]:
        """The stream that would have been this answer."""

    def serves(self, answer: Json, body: Json, stream: bool) -> bool:
        """Whether a kept answer has all that this request asks for."""
        return True

    def wire(self, answer: Json, body: Json) -> bytes:
        """The stream as it is sent: server-sent events, named by their type."""
        return b"".join(event(data, data["type"]) for data in self.events(answer, body))


def event(data: Mapping[str, Any] | str, name: str | None = None) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()
