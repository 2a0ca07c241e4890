"""Lists in request bodies that are validated up to their first error only."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import ListSchema

Item = TypeVar("Item")


class _FailFast:
    """As pydantic's `FailFast`, which cannot stand in a union with Python 3.11: it has no hash."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = cast("ListSchema", handler(source))
        schema["fail_fast"] = True
        return schema


FailFastList = Annotated[list[Item], _FailFast()]
"""A list of which only the first invalid item is reported: a million of them would be a million errors."""
