"""Models of pydantic, where they are found by their names."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pydantic

T = TypeVar("T")


class Body(pydantic.BaseModel):
    """One whose dump leaves things out."""

    model_config = pydantic.ConfigDict(extra="allow")
    a: int
    b: Any = None
    secret: str = pydantic.Field("", exclude=True)
    url: pydantic.HttpUrl | None = None
    _told: str = pydantic.PrivateAttr("")

    def told(self, text: str) -> Body:
        """With a text that is in no field."""
        self._told = text
        return self


class Page(pydantic.BaseModel, Generic[T]):
    """One of many types."""

    items: list[T]


class Account(pydantic.BaseModel):
    """One with a secret."""

    key: pydantic.SecretStr
