"""Container images, built without any image registry, and how Podman is told to run them."""

from voicefleet_infra.images.agent import build_agent_image
from voicefleet_infra.images.podman import write_containers_conf

__all__ = ["build_agent_image", "write_containers_conf"]
