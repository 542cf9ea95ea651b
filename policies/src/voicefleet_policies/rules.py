"""What a rule is: a pure function from resources to complaints, with a name and a remedy.

A resource is its type as Pulumi spells it (`kubernetes:apps/v1:Deployment`,
`aws:ec2/instance:Instance`) and its inputs, in the provider's own spelling (camelCase). Secrets
come unwrapped, as pulumi-policy hands them over: a rule cannot see that a value is a secret, and
never repeats one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Props = Mapping[str, Any]
Resource = tuple[str, Props]
"""Type, inputs."""


@dataclass(frozen=True)
class Rule:
    """What each resource must keep."""

    name: str
    description: str
    remedy: str
    check: Callable[[str, Props], Iterable[str]]
    """Complaints about one resource; none: it is well."""

    def violations(self, type_: str, props: Props) -> Iterator[str]:
        """Each says what is wrong, and what to do."""
        for complaint in self.check(type_, props):
            yield f"{complaint}. {self.remedy}"


@dataclass(frozen=True)
class StackRule:
    """What a stack must keep as a whole, under a limit that its owner sets."""

    name: str
    description: str
    remedy: str
    default: int
    """The limit where the owner has set none (`--policy-pack-config`, key `maximum`)."""
    check: Callable[[Sequence[Resource], int], Iterable[str]]

    def violations(self, resources: Sequence[Resource], maximum: int) -> Iterator[str]:
        """Each says what is wrong, and what to do."""
        for complaint in self.check(resources, maximum):
            yield f"{complaint}. {self.remedy}"


def mapping(value: Any) -> Props:
    """A mapping, or an empty one where there is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """A list, or an empty one where there is none."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
