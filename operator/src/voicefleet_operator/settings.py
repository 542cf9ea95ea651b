"""Settings of the process, from the environment (`VOICEFLEET_*`); wishes are in the API."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the environment variable `VOICEFLEET_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="VOICEFLEET_")

    workers: int = Field(default=16, ge=1, description="Reconciliations at the same time.")
    resync_seconds: float = Field(
        default=600, gt=0, description="How often everything is listed whole and compared."
    )
    lease_seconds: int = Field(
        default=15, ge=3, description="How long the right to act lasts without a renewal."
    )
    stripe_requests_per_second: float = Field(
        default=80, gt=0, description="To a live account; Stripe itself refuses more than 100."
    )
    twilio_requests_per_second: float = Field(
        default=50,
        gt=0,
        description="To a live account. Twilio refuses more than about 100 at the same time.",
    )
    circuit_failures: int = Field(
        default=10,
        ge=1,
        description="After so many failures in a row (no connection, no answer, HTTP 5xx) an"
        " account is asked nothing more,",
    )
    circuit_seconds: float = Field(
        default=10, gt=0, description="but one request in so many seconds, until one is answered."
    )
    identity: str | None = Field(
        default=None,
        description="Name in the lease. A successor of the same name takes over at once: set it"
        " only where something else sees to it that there is one such process. Default: unique.",
    )
    metrics_port: int | None = Field(
        default=None, description="Port of /metrics, /healthz and /readyz; unset is none."
    )
    metrics_address: str = Field(
        default="127.0.0.1", description="Address of that port; 0.0.0.0 where a kubelet asks."
    )
    stalled_seconds: float = Field(
        default=180, gt=0, description="/healthz fails when no work was finished for so long."
    )
    grace_seconds: float = Field(
        default=20,
        ge=0,
        description="How long SIGTERM lets what is in flight go on; the journal has the rest.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    runtime_state: Path = Field(
        default=Path("/var/lib/voicefleet/clients"),
        description="Folder for clients' configuration and data.",
    )
    podman_socket: Path = Field(
        default=Path("/run/podman/podman.sock"), description="Podman's API socket."
    )
    agent_image: str = Field(
        default="localhost/voicefleet-agent:latest", description="Image of the clients' agents."
    )
    models_folder: Path | None = Field(
        default=None,
        description="Folder with the model gateways' sockets; unset: agents have no models.",
    )
    models_key: Path | None = Field(
        default=None,
        description="File with the key that clients' tokens are signed with; unset: agents have no"
        " way to the gateways, LiveKit's included.",
    )
