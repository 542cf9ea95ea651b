"""The home lab: the platform's programs as Podman pods of one machine, declared in Pulumi."""

from voicefleet_infra.components.homelab.lab import HomeLab, HomeLabArgs

__all__ = ["HomeLab", "HomeLabArgs"]
