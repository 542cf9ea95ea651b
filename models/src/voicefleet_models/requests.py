"""What a request's JSON says, and what is wrong with it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from voicefleet_api.base import problems
from voicefleet_models.gateway import BadRequest

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: bytes) -> M:
    """The body; raises `BadRequest` with fields and reasons, without what was sent."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(problems(error)) from None
