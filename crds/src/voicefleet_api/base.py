"""What every model of the API shares: Kubernetes spelling, strictness, and how it complains."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

# Kubernetes API conventions: initialisms keep one case (clientID, checkoutURL).
_INITIALISMS = {
    "id": "ID",
    "url": "URL",
    "urls": "URLs",
    "sid": "SID",
    "sha256": "SHA256",
    "uri": "URI",
    "uris": "URIs",
}


def k8s_name(python_name: str) -> str:
    """`client_id` -> `clientID`, `plan_name` -> `planName`, `e164` -> `e164`."""
    first, *rest = python_name.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


class ApiModel(BaseModel):
    """A part of a custom resource; unknown fields are refused, as the API server prunes them."""

    model_config = ConfigDict(
        alias_generator=k8s_name,
        populate_by_name=True,
        extra="forbid",
        use_enum_values=True,
    )

    def to_json(self) -> dict[str, object]:
        """The wire form: camelCase, nothing that is unset."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


class StatusModel(ApiModel):
    """Status is read tolerantly: an older controller may meet fields of a newer one."""

    model_config = ConfigDict(extra="ignore")


def problems(error: ValidationError) -> str:
    """Fields and reasons, five at most, without what was given."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    words = [f"{'.'.join(map(str, each['loc'])) or 'the body'}: {each['msg']}" for each in found]
    return "; ".join(words[:5])
