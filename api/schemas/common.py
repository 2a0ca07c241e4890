"""What the bodies and answers of all resources share: strict bodies, answers read off rows, pages, problem details."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Self, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.fail_fast import FailFastList

Item = TypeVar("Item")
Templates = str | FailFastList[str]
TEMPLATE: Any = Field(
    None,
    description="The prompt; {} in it stands for the class name. Of a list, each class has the mean of its prompts'"
    " embeddings.",
)
STRENGTH: Any = Field(
    None,
    ge=0,
    le=1,
    description="How much of the adapter: 0 is the base, 1 all of it, between their interpolation. Left out: the"
    " adapter's own, which was learned on images held out from its training.",
)
MAX_MEMBERS = 100
"""Fields of one object in a request: more than any model has, so that a flood of unknown ones is one error."""


class Body(BaseModel):
    """A request body: an unknown field is an error, since it is most likely a typing slip."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_number(cls, given: Any) -> Any:
        """Each unknown field is an error of its own, which a million of them must not be."""
        if isinstance(given, dict) and len(given) > MAX_MEMBERS:
            raise PydanticCustomError("too_many_fields", f"{len(given):,} fields; at most {MAX_MEMBERS} are taken")
        return given

    @classmethod
    def of_json(cls, content: bytes) -> Self:
        """The body, parsed from JSON by a route itself. Raises RequestValidationError, as FastAPI does."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


class View(BaseModel):
    """An answer, read off a row."""

    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")


MAX_ID_CHARACTERS = 64
"""Characters of an id; a longer one is refused."""
MAX_NAME_CHARACTERS = 1_000
"""Characters of a name in a query parameter; a longer one is refused."""
Id = Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS)]


class Rejected(BaseModel):  # noqa: D101
    path: str
    code: str
    reason: str


SUMMARY: Any = Field(
    validation_alias="summary", description="The figures of the metrics; matrices and curves are left out of lists."
)


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
