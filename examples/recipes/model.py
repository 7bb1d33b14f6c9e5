"""The model that the recipes ask: OpenAI's where OPENAI_API_KEY is set, otherwise one that only pretends to be a model.

OPENAI_MODEL   which one; gpt-4o-mini by default
LLM_PRICE      what a million tokens in and a million out cost in US dollars; "2.50 10" by default
LLM_LATENCY    how long the pretend model thinks, in seconds; 0.2 by default
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal

from llmcache import Made

LATENCY = float(os.environ.get("LLM_LATENCY", "0.2"))


@dataclass(frozen=True)
class Completion:
    """A text, and what it took."""

    text: str
    tokens: tuple[int, int]
    cost: Decimal

    @property
    def made(self) -> Made:
        """What a cache is to know of it."""
        return Made(self.text, tokens=self.tokens, cost=self.cost)


class Model(ABC):
    """Answers prompts, and counts how often it had to."""

    def __init__(self, name: str) -> None:
        self.name, self.calls = name, 0
        self._price_in, self._price_out = map(Decimal, os.environ.get("LLM_PRICE", "2.50 10").split())
        self._lock = threading.Lock()

    @abstractmethod
    def complete(self, prompt: str, system: str = "") -> Completion:
        """The answer to a prompt."""

    @abstractmethod
    async def acomplete(self, prompt: str, system: str = "") -> Completion:
        """The same, to be awaited."""

    def _count(self) -> None:
        with self._lock:
            self.calls += 1

    def _made(self, text: str, tokens_in: int, tokens_out: int) -> Completion:
        cost = (tokens_in * self._price_in + tokens_out * self._price_out) / 1_000_000
        return Completion(text, (tokens_in, tokens_out), cost)


class Pretend(Model):
    """Takes the last line of a prompt for the question, and quotes the two lines before it that fit it best; of those
    that fit equally well, the later ones. The same prompt always has the same answer."""

    def __init__(self) -> None:
        super().__init__("pretend")

    def complete(self, prompt: str, system: str = "") -> Completion:
        self._count()
        time.sleep(LATENCY)
        return self._answer(prompt, system)

    async def acomplete(self, prompt: str, system: str = "") -> Completion:
        self._count()
        await asyncio.sleep(LATENCY)
        return self._answer(prompt, system)

    def _answer(self, prompt: str, system: str) -> Completion:
        *lines, question = filter(None, map(str.strip, prompt.splitlines()))
        asked = _words(question)
        fitting = sorted(range(len(lines)), key=lambda at: (len(asked & _words(lines[at])), at))[-2:]
        text = " ".join(lines[at] for at in sorted(fitting)) or f"You ask: {question}"
        return self._made(text, len(system + prompt) // 4, len(text) // 4)


class OpenAi(Model):
    """A model of OpenAI, or of whoever answers at OPENAI_BASE_URL."""

    def __init__(self) -> None:
        from openai import AsyncOpenAI, OpenAI

        super().__init__(os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
        self._client, self._aclient = OpenAI(), AsyncOpenAI()

    def complete(self, prompt: str, system: str = "") -> Completion:
        self._count()
        told = self._client.responses.create(model=self.name, instructions=system or None, input=prompt)
        return self._made(told.output_text, *_usage(told))

    async def acomplete(self, prompt: str, system: str = "") -> Completion:
        self._count()
        told = await self._aclient.responses.create(model=self.name, instructions=system or None, input=prompt)
        return self._made(told.output_text, *_usage(told))


def _usage(told: object) -> tuple[int, int]:
    usage = getattr(told, "usage", None)
    return (usage.input_tokens, usage.output_tokens) if usage else (0, 0)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W_]+", text.lower()) if len(word) > 3}


llm: Model = OpenAi() if os.environ.get("OPENAI_API_KEY") else Pretend()
