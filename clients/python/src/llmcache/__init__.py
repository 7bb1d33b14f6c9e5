"""LLMCACHE from Python: answers of large language models, cached in Redis, and without Redis in this process.

from llmcache import Cache

cache = Cache("redis://localhost:6379", "faq")
response, was_cached, cost = cache.get_or_call("What is Redis?", lambda: model("What is Redis?"), model="gpt-4o")
"""

from .adapters import NotCached, bypass, using, was_cached, wrap
from .cache import AsyncCache, Cache
from .codecs import BYTES, JSON, TEXT, Codec
from .decorator import cached
from .ops import Item, Keep, Made, Terms
from .question import Question
from .types import (
    Answer,
    Candidate,
    Due,
    Entry,
    Explanation,
    Fetched,
    LlmcacheError,
    Refused,
    Result,
    Stats,
    Unavailable,
    Unsupported,
    Warmed,
)

__version__ = "0.1.0"

__all__ = [
    "BYTES",
    "JSON",
    "TEXT",
    "Answer",
    "AsyncCache",
    "Cache",
    "Candidate",
    "Codec",
    "Due",
    "Entry",
    "Explanation",
    "Fetched",
    "Item",
    "Keep",
    "LlmcacheError",
    "Made",
    "NotCached",
    "Question",
    "Refused",
    "Result",
    "Stats",
    "Terms",
    "Unavailable",
    "Unsupported",
    "Warmed",
    "bypass",
    "cached",
    "using",
    "was_cached",
    "wrap",
]
