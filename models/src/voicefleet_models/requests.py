"""What a request's JSON says, and what is wrong with it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from voicefleet_models.gateway import BadRequest

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: bytes) -> M:
    """The body; raises `BadRequest` with fields and reasons, without what was sent."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        words = [
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}"
            for problem in problems
        ]
        raise BadRequest("; ".join(words[:5])) from None
