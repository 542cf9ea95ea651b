"""How many GPUs a stack may have, for they are most of its bill; and for whom a thing is paid."""

from __future__ import annotations

from dataclasses import dataclass

CLIENT = "voicefleet.dev/client"
"""Tag or label of whatever is paid for: a client's ID, or `SHARED`."""
SHARED = "shared"

# NVIDIA GPUs of EC2's sizes that have more than one
# (https://aws.amazon.com/ec2/instance-types/#Accelerated_Computing).
_GPUS: dict[str, dict[str, int]] = {
    "g4dn": {"12xlarge": 4, "metal": 8},
    "g5": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p5": {"48xlarge": 8},
}


class BudgetExceeded(ValueError):
    """The stack would have, or ask for, more GPUs than are allowed or bought."""


def gpus(instance_type: str) -> int:
    """NVIDIA GPUs of an EC2 instance; ValueError for a family of GPUs that is not listed here."""
    family, _, size = instance_type.partition(".")
    if family in _GPUS:
        return _GPUS[family].get(size, 1)
    if family.startswith(("g", "p")):
        known = ", ".join(_GPUS)
        raise ValueError(f"nobody has counted the GPUs of {instance_type}; known are {known}")
    return 0


@dataclass(frozen=True)
class Budget:
    """What a stack may have."""

    max_gpus: int

    def check(self, *, bought: int | None, wanted: int) -> None:
        """Raise BudgetExceeded, with the remedy, before anything is bought.

        `bought` are the servers' GPUs, None where the cluster is there already; `wanted` are those
        that the models ask for when scaled to their most.
        """
        for count, what in ((bought or 0, "the servers have"), (wanted, "the models may take")):
            if count > self.max_gpus:
                raise BudgetExceeded(
                    f"{what} {count} GPUs, and maxGpus allows {self.max_gpus}: raise it if you mean"
                    " it, or take fewer or smaller servers, or lower models.maxReplicas"
                )
        if bought is not None and wanted > bought:
            raise BudgetExceeded(
                f"the models may take {wanted} GPUs, and the servers have {bought}: pods would wait"
                " for ever; lower models.maxReplicas, or add a server"
            )
