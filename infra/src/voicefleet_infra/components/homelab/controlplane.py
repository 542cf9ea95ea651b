"""Where VoiceClients are kept: an API server of the lab's own, or a cluster that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import yaml

from voicefleet_infra import services
from voicefleet_infra.cluster import fleet, vendor_secrets
from voicefleet_infra.components.homelab.programs import Lab, Programs
from voicefleet_infra.components.kubernetes import AccountKubeconfig, Manifest
from voicefleet_infra.components.mergepatch import merged
from voicefleet_infra.tools import repository


class ControlPlane(pulumi.ComponentResource):
    """The API server with our kinds, rights, policies and Fleet."""

    kubeconfig: str
    """Path of the administrator's."""
    programs: Programs | None
    """etcd and kube-apiserver; None where the cluster is there already."""
    fleet: Manifest

    def __init__(
        self,
        lab: Lab,
        opts: pulumi.ResourceOptions,
        *,
        sandbox: bool,
        overflow: bool,
        changes: Mapping[str, Any],
    ) -> None:
        """`sandbox`: whether vendors are stood in for; `overflow`: whether there is an agent for
        calls that a client's own does not take; `changes` to the Fleet's spec (RFC 7396)."""
        super().__init__("voicefleet:homelab:ControlPlane", "control-plane", None, opts)
        platform = lab.platform
        self._home = str(platform.home)
        self.programs = None
        if platform.cluster is None:
            ready = [f"127.0.0.1:{platform.port('kubernetes')}"]
            found, own = services.control_plane(platform), pulumi.ResourceOptions(parent=self)
            self.programs = Programs("control-plane", lab, found, ready, own)
        self.kubeconfig = str(platform.kubeconfig)
        kinds = self._install("kinds", _objects("crds/generated"), self.programs, "Established")
        rights = self._install("rights", _objects("deploy/namespace.yaml", "deploy/rbac"), kinds)
        self._install("policies", _objects("deploy/admission"), rights)
        secrets = pulumi.Output.secret(vendor_secrets(platform))
        accounts = self._install("vendor-secrets", secrets, rights)
        made = fleet(platform)
        for change in (
            {} if sandbox else {"sandbox": None},
            {} if overflow else {"livekit": {"overflowAgent": None}},
            changes,
        ):
            made["spec"] = merged(made["spec"], change)
        self.fleet = self._install("fleet", [made], accounts)
        self.register_outputs({"kubeconfig": self.kubeconfig})

    def account(self, name: str, owner: pulumi.Resource) -> AccountKubeconfig:
        """A kubeconfig of the ServiceAccount `voicefleet-<name>`."""
        options = pulumi.ResourceOptions(parent=owner, depends_on=[self.fleet])
        return AccountKubeconfig(f"{name}-account", name, self.kubeconfig, self._home, options)

    def _install(
        self,
        name: str,
        objects: pulumi.Input[Sequence[dict[str, Any]]],
        after: pulumi.Resource | None,
        wait_for: str = "",
    ) -> Manifest:
        options = pulumi.ResourceOptions(
            parent=self,
            depends_on=[after] if after else None,
            # An API server of ours goes as a whole; in one of other people they may be in use.
            retain_on_delete=True,
        )
        return Manifest(name, self.kubeconfig, objects, options, wait_for=wait_for)


def _objects(*places: str) -> list[dict[str, Any]]:
    """The manifests in these folders or files of the repository."""
    found = []
    for path in (repository() / place for place in places):
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            found += [made for made in yaml.safe_load_all(file.read_text()) if made]
    return [made for made in found if made["kind"] != "Kustomization"]
