"""Answers of SQL queries in the cache, and what is out of date gone when it is committed."""

from .advice import Advice, advise
from .alchemy import Installed, cached_query, install
from .dbapi import CachedConnection, CachedCursor
from .slow import Figures, SlowQueries, slow_queries

__all__ = [
    "Advice",
    "CachedConnection",
    "CachedCursor",
    "Figures",
    "Installed",
    "SlowQueries",
    "advise",
    "cached_query",
    "install",
    "slow_queries",
]
