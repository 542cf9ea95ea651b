"""The home lab: one machine with Podman (Pulumi.yaml describes the settings)."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
from pulumi_command.remote import ConnectionArgs

from voicefleet_infra.agents import podman_environment
from voicefleet_infra.components.homelab import HomeLab, HomeLabArgs
from voicefleet_infra.components.relay import BoxEnd, Relay, RelayArgs
from voicefleet_infra.components.voiceclient import VoiceClient, VoiceClientArgs
from voicefleet_infra.images import AGENT, build_image
from voicefleet_infra.images.platform import build_platform_image
from voicefleet_infra.platform import Platform, cache_dir, default_home, write_private
from voicefleet_infra.relay import RelaySettings
from voicefleet_infra.tools import build_go_programs, install_packages, repository
from voicefleet_infra.up import remember


def program() -> None:
    """Bring what the machine lacks, build the images, declare the lab and its clients.

    Packages and images come first, in previews too: an image's name is the hash of its contents,
    and pods are compared by it. Raises `ToolMissing`, `BuildFailed`.
    """
    config = pulumi.Config()
    stack = pulumi.get_stack()
    cluster = config.get("kubeconfig")
    socket = config.get("podmanSocket") or default_socket()
    home = config.get("home") or default_home().with_name(f"voicefleet-{stack}")
    platform = Platform(
        Path(home),
        base_port=config.require_int("basePort"),
        cluster=Path(cluster) if cluster else None,
        podman=Path(socket),
    )
    sandbox, models = config.require_bool("sandbox"), config.require_bool("models")
    ollama = config.get("ollamaModel") or ""
    programs = ["livekit-server", "livekit-sip", *([] if cluster else ["kube-apiserver"])]
    programs += ["ollama"] if ollama else []
    rooms = ["voicefleet-operator", "voicefleet-portal", "voicefleet-gateway"]
    rooms += ["voicefleet-sandbox"] if sandbox else []
    rooms += ["voicefleet-models"] if models else []
    install_packages(pulumi.log.info, "platform", "podman", "build")
    build_go_programs(pulumi.log.info, programs)
    root, environment = repository(), podman_environment(platform)
    # For the command line, which is told the folder alone.
    remember(platform)
    lab = HomeLab(
        f"voicefleet-{stack}",
        HomeLabArgs(
            platform,
            socket=socket,
            image=config.get("platformImage")
            or build_platform_image(
                root, cache_dir(), rooms, programs, pulumi.log.info, environment
            ),
            agent_image=config.get("agentImage")
            or build_image(AGENT, root, cache_dir(), pulumi.log.info, environment),
            sandbox=sandbox,
            models=models,
            fleet=config.get_object("fleet") or {},
            tunnel=_tunnel(config, platform),
            ollama_model=ollama,
            log_level=config.require("logLevel"),
            memory_mib=config.get_object("memoryMiB") or {},
        ),
    )
    clients = {
        client["name"]: VoiceClient(
            client["name"],
            VoiceClientArgs(lab.kubeconfig, client["spec"], client.get("namespace", "default")),
            pulumi.ResourceOptions(depends_on=[lab]),
        )
        for client in config.get_object("clients") or []
    }
    pulumi.export("kubeconfig", lab.kubeconfig)
    pulumi.export("addresses", lab.addresses)
    pulumi.export("numbers", {name: client.number for name, client in clients.items()})
    pulumi.export("unit", lab.unit)


def _tunnel(config: pulumi.Config, platform: Platform) -> BoxEnd | None:
    """The relay that the settings name, and this machine's end of it (docs/relay.md)."""
    file = platform.path("relay.json")
    given = dict(config.get_object("relay") or {})
    if not given:
        file.unlink(missing_ok=True)
        return None
    user = given.pop("user", None)
    settings = RelaySettings.model_validate({"basePort": platform.base_port, **given})
    # Before the lab is declared: it decides where telephony listens.
    write_private(file, settings.model_dump_json(by_alias=True))
    address = str(settings.public_address)
    connection = user and ConnectionArgs(
        host=address, user=user, private_key=config.require_secret("sshPrivateKey")
    )
    relay = Relay(
        "relay",
        RelayArgs(
            address,
            [str(network) for network in settings.carriers],
            [str(network) for network in settings.admins],
            settings.base_port,
            connection or None,
        ),
    )
    pulumi.export("relayServerScript", relay.server_script)
    options = pulumi.ResourceOptions(depends_on=[relay])
    return BoxEnd("box", relay.box_script, relay.removal, options)


def default_socket() -> str:
    """Where podman.socket listens (podman-system-service(1))."""
    if os.geteuid() == 0:
        return "/run/podman/podman.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return f"{runtime}/podman/podman.sock"
