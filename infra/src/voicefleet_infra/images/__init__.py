"""Container images, built without any image registry, and how Podman is told to run them."""

from voicefleet_infra.images.build import build_image
from voicefleet_infra.images.layers import BuildFailed
from voicefleet_infra.images.podman import write_containers_conf
from voicefleet_infra.images.recipes import AGENT, OPERATOR, RECIPES, Recipe

__all__ = [
    "AGENT",
    "OPERATOR",
    "RECIPES",
    "BuildFailed",
    "Recipe",
    "build_image",
    "write_containers_conf",
]
