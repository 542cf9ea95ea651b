"""The GPU cloud: servers or a cluster, and the platform in it (docs/cloud.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_random as random

from voicefleet_infra.components.cloud.agent_gateway import AgentGateway, AgentGatewayArgs
from voicefleet_infra.components.cloud.certificates import (
    Certificates,
    CertificatesArgs,
    CertManager,
)
from voicefleet_infra.components.cloud.cluster import Cluster, ClusterArgs
from voicefleet_infra.components.cloud.fleet import fleet
from voicefleet_infra.components.cloud.gpu import Gpus, GpusArgs
from voicefleet_infra.components.cloud.livekit import LiveKit, LiveKitArgs
from voicefleet_infra.components.cloud.models import Models, ModelsArgs
from voicefleet_infra.components.cloud.names import Names, NamesArgs
from voicefleet_infra.components.cloud.objects import SYSTEM
from voicefleet_infra.components.cloud.operator import LanguageModel, Operator, OperatorArgs
from voicefleet_infra.components.cloud.postgresql import Postgresql, PostgresqlArgs
from voicefleet_infra.components.cloud.redis import Redis, RedisArgs
from voicefleet_infra.components.cloud.settings import CloudSettings, read
from voicefleet_infra.components.cloud.ssh import (
    Kubeconfig,
    Login,
    SshServer,
    SshServers,
    SshServersArgs,
)
from voicefleet_infra.components.cloud.zone import ZoneArgs, zone_secret

_CHART = Path(__file__).parent.parent / "deploy" / "chart"
_After = Callable[..., pulumi.ResourceOptions]
"""Options of a component in the cluster that comes after others."""


def program() -> None:
    """Declare the stack; raises `pulumi.RunError` where its settings are wrong."""
    config = pulumi.Config()
    try:
        settings = read(config.require_object("cloud"))
    except ValueError as error:
        raise pulumi.RunError(f"voicefleet:cloud is wrong:\n{error}") from None
    address, inner_address, kubeconfig = _servers(config, settings)
    cluster = Cluster("cluster", ClusterArgs(kubeconfig))

    def after(*before: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            providers=[cluster.provider], depends_on=[*cluster.namespaces.values(), *before]
        )

    password = _secret("redis-password")
    redis = Redis("redis", RedisArgs(password), after())
    manager = CertManager("cert-manager", after())
    zone, names, certificates = _names(config, settings, address, manager, after)
    livekit = LiveKit(
        "livekit",
        LiveKitArgs(
            secret=_secret("livekit-secret"),
            redis=redis.address,
            redis_password=password,
            address=address,
            sip_name=zone.sip if zone else "",
            certificate=certificates.sip_secret if certificates else None,
        ),
        after(redis, *filter(None, (names, certificates))),
    )
    gateway = AgentGateway(
        "agent-gateway", AgentGatewayArgs(_secret("clients-key")), after(manager)
    )
    wanted = settings.operator
    installed: list[pulumi.Resource] = [livekit, gateway]
    language_model = None
    if settings.models:
        gpus = Gpus("gpus", GpusArgs(settings.on_k3s, settings.gpu_driver), after())
        models = Models("models", ModelsArgs(**settings.models.model_dump()), after(gpus))
        pulumi.export("languageModel", {"provider": models.url, "model": models.model})
        language_model = LanguageModel(wanted.models_image, models.url, models.model)
        installed.append(models)
    if settings.postgresql:
        arguments = PostgresqlArgs(**settings.postgresql.model_dump())
        installed.append(Postgresql("postgresql", arguments, after()))
    Operator(
        "operator",
        OperatorArgs(
            chart=str(_CHART),
            image=wanted.image,
            agent_image=wanted.agent_image,
            gateway_image=wanted.gateway_image,
            portal_image=wanted.portal_image,
            tag=wanted.tag,
            livekit=livekit.url,
            livekit_secret=livekit.secret,
            language_model=language_model,
            log_level=wanted.log_level,
            values=wanted.values,
        ),
        after(*installed),
    )
    pulumi.export("address", address)
    pulumi.export("kubeconfig", cluster.kubeconfig)
    pulumi.export("fleet", _fleet(settings, livekit, gateway, address, inner_address))


def _servers(
    config: pulumi.Config, settings: CloudSettings
) -> tuple[pulumi.Output[str], pulumi.Output[str], pulumi.Output[str]]:
    """The address that carriers call, the same server's for pods, and the administrator's
    kubeconfig."""
    if settings.cluster is not None:
        there = settings.cluster
        kubeconfig = there.kubeconfig.expanduser().read_text()
        inner = there.inner_address or there.address
        known = pulumi.Output.from_input(there.address), pulumi.Output.from_input(inner)
        return *known, pulumi.Output.secret(kubeconfig)
    private_key, token = config.require_secret("sshPrivateKey"), _secret("k3s-token")
    made: pulumi.ComponentResource
    if settings.aws is None:
        servers = [SshServer(s.address, s.user, s.host_key) for s in settings.servers]
        made = SshServers("servers", SshServersArgs(servers, private_key, settings.access, token))
        login = made.logins[0]
        inner_address = pulumi.Output.from_input(login.address)
    else:
        # The SDK for AWS is large, and takes two seconds to import.
        from voicefleet_infra.components.cloud.aws import AwsServers, AwsServersArgs

        wanted = settings.aws.model_dump()
        made = AwsServers("servers", AwsServersArgs(**wanted, access=settings.access, token=token))
        login = Login(made.addresses[0], made.user, private_key)
        inner_address = made.inner_address
    read = Kubeconfig("kubeconfig", login, pulumi.ResourceOptions(depends_on=[made]))
    return pulumi.Output.from_input(login.address), inner_address, read.content


def _names(
    config: pulumi.Config,
    settings: CloudSettings,
    address: pulumi.Output[str],
    manager: CertManager,
    after: _After,
) -> tuple[ZoneArgs | None, Names | None, Certificates | None]:
    """The zone with what keeps names and certificates in it; nothing where there is none."""
    dns = settings.dns
    if dns is None:
        return None, None, None
    zone = ZoneArgs(dns.zone, dns.server, dns.port, dns.key, config.require_secret("tsigSecret"))
    zone_secret(zone, SYSTEM, after())
    names = Names("names", NamesArgs(zone, address), after())
    certificates = Certificates("certificates", CertificatesArgs(zone, dns.email), after(manager))
    return zone, names, certificates


def _fleet(
    settings: CloudSettings,
    livekit: LiveKit,
    gateway: AgentGateway,
    address: pulumi.Output[str],
    inner_address: pulumi.Output[str],
) -> pulumi.Output[dict[str, Any]]:
    zone = settings.dns.model_dump(include={"zone", "server", "port"}) if settings.dns else None
    return pulumi.Output.all(livekit.origination_uris, address, inner_address).apply(
        lambda known: fleet(
            livekit=livekit.url,
            livekit_address=known[2],
            livekit_secret=livekit.secret,
            gateway=gateway.url,
            origination_uris=known[0],
            carrier_networks=settings.carrier_networks,
            zone={**zone, "secret": "dns"} if zone else None,
            address=known[1],
        )
    )


def _secret(name: str) -> pulumi.Output[str]:
    """Made once, kept encrypted in the stack's state, never shown."""
    return pulumi.Output.secret(random.RandomPassword(name, length=48, special=False).result)
