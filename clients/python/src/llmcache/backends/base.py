"""What every backend can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from ..flows import Flow
from ..ops import Op

T = TypeVar("T")


class Backend(ABC):
    """Takes operations."""

    @abstractmethod
    def flow(self, op: Op[T]) -> Flow[T]:
        """Does an operation."""

    def close(self) -> None:
        """Gives back what it holds, for callers that wait."""

    async def aclose(self) -> None:
        """Gives back what it holds, on the running event loop."""
        self.close()
