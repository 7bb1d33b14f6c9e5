"""Who answers: the server, or something in this process in its place. All take the same operations."""

from .base import Backend
from .fallback import Breaker, Fallback
from .local import LocalBackend
from .near import Near
from .server import Server
from .shelves import FileShelf, MemoryShelf, Shelf

__all__ = [
    "Backend",
    "Breaker",
    "Fallback",
    "FileShelf",
    "LocalBackend",
    "MemoryShelf",
    "Near",
    "Server",
    "Shelf",
]
