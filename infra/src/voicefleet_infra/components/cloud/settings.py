"""The stack's settings: `voicefleet:cloud` in `Pulumi.<stack>.yaml`. Secrets are keys of their own.

Spelled in camelCase there; what is unknown, missing or contradictory is refused with its path.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from voicefleet_infra.components.cloud.budget import Budget, gpus
from voicefleet_infra.components.cloud.k3s import Access

# https://www.twilio.com/docs/sip-trunking/ip-addresses, as of its change of 2024-02-21.
TWILIO_SIGNALLING = (
    "54.172.60.0/30",
    "54.244.51.0/30",
    "54.171.127.192/30",
    "35.156.191.128/30",
    "54.65.63.192/30",
    "54.169.127.128/30",
    "54.252.254.64/30",
    "177.71.206.192/30",
)
TWILIO_MEDIA = ("168.86.128.0/18",)

Network = Annotated[str, AfterValidator(lambda text: str(ip_network(text)))]
Address = Annotated[str, AfterValidator(lambda text: str(ip_address(text)))]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)


class AwsSettings(_Settings):
    """Servers that are bought at AWS; its provider reads `aws:region` and the usual credentials."""

    count: int = Field(default=1, ge=1, le=16)
    instance_type: str
    ami: str = Field(pattern="^ami-[0-9a-f]+$")
    disk_gib: int = Field(default=200, ge=50, le=16000)
    public_key: str = Field(pattern="^(ssh|ecdsa)-")


class ServerSettings(_Settings):
    """A server that was ordered by hand."""

    address: Address
    user: str = "root"
    host_key: str | None = None
    gpus: int = Field(default=0, ge=0, le=16)


class ClusterSettings(_Settings):
    """A cluster that is there."""

    kubeconfig: Path
    """File of its administrator's; contents are kept as a secret."""
    address: Address
    """Public one of the node labelled `voicefleet.dev/media=true`, which carriers call."""
    inner_address: Address | None = None
    """That node's among the others, where agents reach LiveKit; None: the same."""
    k3s: bool = False


class DnsSettings(_Settings):
    """A zone that takes signed updates; its key is the secret `tsigSecret`."""

    zone: str
    server: str
    port: int = Field(default=53, ge=1, le=65535)
    key: str = "voicefleet"
    email: str = Field(pattern="@")
    """For the certificates' authority."""


class ModelsSettings(_Settings):
    """The language model."""

    engine: Literal["ollama", "vllm"] = "ollama"
    model: str
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    gpus: int = Field(default=1, ge=1, le=8)
    cpu: str = "3"
    memory: str = "12Gi"
    storage: str = "50Gi"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError("maxReplicas is less than minReplicas")
        return self


class PostgresqlSettings(_Settings):
    """The database; see docs/cloud.md for what it holds."""

    instances: int = Field(ge=1, le=9)
    storage: str = "20Gi"


class OperatorSettings(_Settings):
    """Images that the cluster can pull, and the chart's further values."""

    image: str
    agent_image: str
    gateway_image: str
    portal_image: str
    models_image: str
    """Used where there are `models`."""
    tag: str = Field(pattern=r"^\w[\w.-]*$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    values: dict[str, Any] = Field(default_factory=dict)


class CloudSettings(_Settings):
    """All of it."""

    max_gpus: int = Field(ge=0)
    """GPUs that may be bought, and asked for."""
    aws: AwsSettings | None = None
    servers: tuple[ServerSettings, ...] = ()
    cluster: ClusterSettings | None = None
    admin_networks: tuple[Network, ...] = ()
    carrier_networks: tuple[Network, ...] = TWILIO_SIGNALLING
    media_networks: tuple[Network, ...] = TWILIO_MEDIA
    gpu_driver: bool = True
    dns: DnsSettings | None = None
    """None: no names and no TLS for SIP."""
    models: ModelsSettings | None = None
    postgresql: PostgresqlSettings | None = None
    operator: OperatorSettings

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        given = [self.aws is not None, bool(self.servers), self.cluster is not None]
        if sum(given) != 1:
            raise ValueError("say exactly one of aws, servers, cluster")
        if self.cluster is None and not self.admin_networks:
            raise ValueError("adminNetworks is missing: from where do you log in to the servers?")
        Budget(self.max_gpus).check(bought=self.bought, wanted=self.wanted)
        return self

    @property
    def bought(self) -> int | None:
        """The servers' GPUs; None where the cluster is there already."""
        if self.aws is not None:
            return self.aws.count * gpus(self.aws.instance_type)
        return sum(server.gpus for server in self.servers) if self.servers else None

    @property
    def wanted(self) -> int:
        """GPUs that the models may take."""
        return self.models.max_replicas * self.models.gpus if self.models else 0

    @property
    def access(self) -> Access:
        """Who reaches what of the servers."""
        return Access(self.admin_networks, self.carrier_networks, self.media_networks)

    @property
    def on_k3s(self) -> bool:
        """Servers have k3s; a cluster that is there may."""
        return self.cluster is None or self.cluster.k3s


def read(given: Any) -> CloudSettings:
    """The settings; raises ValueError, a line for each thing that is wrong, with its path."""
    try:
        return CloudSettings.model_validate(given)
    except ValidationError as error:
        found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        lines = (
            f"{path or 'cloud'}: {words.removeprefix('Value error, ')}" for path, words in found
        )
        raise ValueError("\n".join(lines)) from None
