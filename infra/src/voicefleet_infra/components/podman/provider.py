"""What the providers have in common: properties are compared, and what is gone says so."""

from __future__ import annotations

from typing import ClassVar

from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from voicefleet_infra.components.dynamic import Properties, own
from voicefleet_infra.components.podman.api import Podman


class PodmanProvider(ResourceProvider):
    """A resource that is named, made, looked at and removed.

    `diff` compares the inputs named in `compared` with what was there, or, after a refresh, with
    what `observe` has found. Another name is another resource; anything else is changed in place.
    """

    # Where Podman listens is no secret, and a state that shows it is easier to read.
    serialize_as_secret_always = False
    compared: ClassVar[tuple[str, ...]] = ("name",)

    def __init__(self, socket: str) -> None:
        super().__init__()
        self.socket = socket

    @property
    def podman(self) -> Podman:
        """A connection of this request's own."""
        return Podman(self.socket)

    def make(self, props: Properties) -> Properties:
        """Make it; what is known only then, to be added to its properties."""
        raise NotImplementedError

    def observe(self, props: Properties) -> Properties | None:
        """Its properties as they are; None where it is gone."""
        raise NotImplementedError

    def remove(self, props: Properties) -> None:
        """Remove it; it may be gone."""
        raise NotImplementedError

    def create(self, props: Properties) -> CreateResult:
        """Make it, or nothing."""
        wanted = own(props)
        return CreateResult(wanted["name"], wanted | self.make(wanted))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """As it is. Inputs too: without them a refresh finds no drift."""
        found = self.observe(own(props))
        if found is None:
            # Pulumi adds to the outputs even then.
            return ReadResult(outs={})
        return ReadResult(id_, dict(found), {k: found[k] for k in self.compared if k in found})

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        """What differs; a name is replaced, the old one removed first."""
        differs = [key for key in self.compared if olds.get(key) != news.get(key)]
        replaces = [key for key in differs if key == "name"]
        return DiffResult(bool(differs), replaces, delete_before_replace=True)

    def update(self, _id: str, olds: Properties, news: Properties) -> UpdateResult:
        """Remove and make anew: of these things Podman changes none."""
        wanted = own(news)
        self.remove(own(olds))
        return UpdateResult(wanted | self.make(wanted))

    def delete(self, _id: str, props: Properties) -> None:
        """Remove it."""
        self.remove(own(props))
