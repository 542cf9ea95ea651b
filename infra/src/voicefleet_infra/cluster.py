"""What stands in a local platform's API server: kinds, rights, Secrets, a Fleet, a client."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from voicefleet_api.names import API_VERSION, SYSTEM_NAMESPACE
from voicefleet_api.plans import default_plans
from voicefleet_infra import agent_gateway, overflow
from voicefleet_infra.carrier import twilio_account
from voicefleet_infra.node import node_objects
from voicefleet_infra.node.storage import CLASS
from voicefleet_infra.platform import ZONE, Platform, write_private
from voicefleet_infra.relay import sip_address
from voicefleet_infra.services import TSIG_KEY, livekit_keys, tsig_secret
from voicefleet_infra.tools import repository

TOKEN_LIFE = 365 * 86400
"""Seconds."""
TOKEN_RENEWAL = 30 * 86400
# Fifty sandbox numbers: enough for a rehearsal, and the cap is seen to work.
_SPENDING_CAP_MINOR = 50 * 115


POLICIES_UNREAD = "failed to configure "
"""An API server looks for the kinds that policies refer to when it starts, before it serves custom
ones, and 30 s later again; until then it refuses what the policies are about, in these words."""


class KubectlFailed(Exception):
    """kubectl said no; the text is what it said."""


def kubectl_path() -> str:
    """The user's own kubectl, else the one of our environment."""
    return shutil.which("kubectl") or str(Path(sys.executable).parent / "kubectl")


class Cluster:
    """The platform's API server, as its administrator."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl; its output. Raises `KubectlFailed`."""
        done = subprocess.run(
            [kubectl_path(), "--kubeconfig", str(self._platform.kubeconfig), *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side apply, through stdin: Secrets do not show on a command line."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def install(self) -> None:
        """Our kinds, admission policies and our processes' rights."""
        root = repository()
        apply = ("apply", "--server-side", "--force-conflicts", "-f")
        self.kubectl(*apply, str(root / "crds" / "generated"))
        self.kubectl(
            "wait", "--for=condition=Established", "crd",
            "-l", "app.kubernetes.io/part-of=voicefleet", "--timeout=30s",
        )  # fmt: skip
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
        )
        self.kubectl(*apply, str(root / "deploy" / "rbac"))
        self.kubectl(*apply, str(root / "deploy" / "admission"))
        if self._platform.has_node:
            self.apply(*node_objects())

    def kubeconfig_of(self, name: str) -> Path:
        """A kubeconfig with the token of ServiceAccount `voicefleet-<name>`; renewed in time."""
        file = self._platform.path(f"{name}.kubeconfig")
        if file.exists() and time.time() - file.stat().st_mtime < TOKEN_LIFE - TOKEN_RENEWAL:
            return file
        token = self.kubectl(
            "create", "token", f"voicefleet-{name}", f"--namespace={SYSTEM_NAMESPACE}",
            f"--duration={TOKEN_LIFE}s",
        )  # fmt: skip
        config = yaml.safe_load(
            self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        )
        config["users"] = [{"name": user["name"], "user": {"token": token.strip()}}
                           for user in config["users"]]  # fmt: skip
        return write_private(file, yaml.safe_dump(config))

    def apply_fleet(self) -> None:
        """The Fleet `default` over the sandbox, with its Secrets.

        Once it is there, only what has changed on this machine (addresses, ports, runtime) is
        written again: what its owner has changed since stays.
        """
        self.apply(*vendor_secrets(self._platform))
        wiring, file = _wiring(self._platform), self._platform.path("wiring.json")
        there = self.kubectl("get", "fleet", "default", "--ignore-not-found", "-o", "json").strip()
        if not there:
            self.apply(fleet(self._platform))
        else:
            before = json.loads(file.read_text()) if file.exists() else {}
            changed = {key: value for key, value in wiring.items() if before.get(key) != value}
            if not changed:
                return
            if json.loads(there)["spec"].get("telephony", {}).get("secure"):
                changed = _by_tls(changed)
            patch = json.dumps({"spec": _unflatten(changed)})
            self.kubectl("patch", "fleet", "default", "--type=merge", "-p", patch)
        write_private(file, json.dumps(wiring))

    def has_clients(self) -> bool:
        """Whether anybody has applied a client yet."""
        return bool(self.kubectl("get", "voiceclients", "--all-namespaces", "-o", "name").strip())

    def clients(self) -> list[dict[str, Any]]:
        """All VoiceClients."""
        text = self.kubectl("get", "voiceclients", "--all-namespaces", "-o", "json")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items


def _secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
        "stringData": data,
    }


def vendor_secrets(platform: Platform) -> list[dict[str, Any]]:
    """The Secrets that `fleet` refers to."""
    key, secret = livekit_keys(platform)
    account, token = twilio_account(platform)
    stripe = {"apiKey": f"sk_test_{platform.secret('stripe')}"}
    twilio = {"accountSID": account, "authToken": token}
    voices = f"sk_{platform.secret('elevenlabs')}"
    dns = {"name": TSIG_KEY, "algorithm": "hmac-sha256", "secret": tsig_secret(platform)}
    return [
        _secret("stripe", stripe),
        _secret("twilio", twilio),
        _secret("elevenlabs", {"apiKey": voices, "speechKey": f"{voices}_speech"}),
        _secret("livekit", {"apiKey": key, "apiSecret": secret}),
        _secret("dns", dns),
    ]


def fleet(platform: Platform) -> dict[str, Any]:
    """The local platform's Fleet."""

    def ref(name: str) -> dict[str, str]:
        return {"namespace": SYSTEM_NAMESPACE, "name": name}

    address, edge = platform.address, sip_address(platform)
    return {
        "apiVersion": API_VERSION,
        "kind": "Fleet",
        "metadata": {"name": "default"},
        "spec": {
            "plans": [plan.to_json() for plan in default_plans()],
            "sandbox": {
                "url": platform.sandbox_url,
                "agentURL": f"http://{address}:{platform.port('sandbox')}",
                "sipAddress": f"{address}:{platform.port('carrier')}",
            },
            "billing": {
                "accounts": [{"name": "main", "mode": "Sandbox", "secretRef": ref("stripe")}]
            },
            "telephony": {
                "accounts": [
                    {
                        "name": "main",
                        "mode": "Sandbox",
                        "secretRef": ref("twilio"),
                        "monthlySpendingCapMinor": _SPENDING_CAP_MINOR,
                    }
                ],
                "originationURIs": [f"sip:{edge}:{platform.port('sip-edge')}"],
                # The bridges see calls come from the edge.
                "carrierNetworks": [f"{edge}/32"],
                "voiceWebhookURL": platform.voice_url,
            },
            "voices": {
                "accounts": [{"name": "main", "mode": "Sandbox", "secretRef": ref("elevenlabs")}]
            },
            "livekit": {
                "url": f"ws://127.0.0.1:{platform.port('livekit')}",
                "agentURL": agent_gateway.address(platform),
                "secretRef": ref("livekit"),
                "overflowAgent": overflow.AGENT_NAME,
            },
            "dns": {
                "zone": ZONE,
                "server": "127.0.0.1",
                "port": platform.port("dns"),
                "tsigSecretRef": ref("dns"),
                "target": address,
            },
            "runtime": _runtime(platform),
        },
    }


def _runtime(platform: Platform) -> dict[str, Any]:
    if not platform.has_node:
        return {"className": platform.runtime}
    ports = [
        *(
            {"port": platform.port(n)}
            for n in ("agent-gateway", "sandbox", "livekit", "livekit-tcp")
        ),
        {"protocol": "UDP", "port": platform.port("livekit-udp")},
    ]
    machine = {"name": "machine", "cidr": f"{platform.address}/32", "ports": ports}
    kubernetes = {"storageClassName": CLASS, "egress": [machine]}
    return {"className": platform.runtime, "kubernetes": kubernetes}


def _wiring(platform: Platform) -> dict[str, Any]:
    """Of the Fleet, what depends on this machine; dotted path -> value."""
    spec = fleet(platform)["spec"]
    telephony = spec["telephony"]
    return {
        **{key: spec[key] for key in ("sandbox", "livekit", "dns", "runtime")},
        **{
            f"telephony.{key}": telephony[key]
            for key in ("originationURIs", "carrierNetworks", "voiceWebhookURL")
        },
    }


def _by_tls(wiring: dict[str, Any]) -> dict[str, Any]:
    """For a Fleet whose calls are encrypted; the edge takes both on one port."""
    key = "telephony.originationURIs"
    uris = [f"{uri};transport=tls" for uri in wiring.get(key, [])]
    return wiring | ({key: uris} if uris else {})


def _unflatten(paths: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for path, value in paths.items():
        *parents, last = path.split(".")
        inner = made
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return made


def sample() -> Path:
    """The client that `up` brings along."""
    return repository() / "crds" / "samples" / "dentist.yaml"
