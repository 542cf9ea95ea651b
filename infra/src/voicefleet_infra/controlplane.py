"""Files of the control plane: certificates, encryption of Secrets, kubeconfig."""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import yaml

from voicefleet_infra.pki import Authority, signing_key
from voicefleet_infra.platform import Platform, write_private

API_SERVER = "kube-apiserver"
"""Its user name, where it is a client: etcd's, and kubelets'."""


@dataclass(frozen=True)
class ControlPlaneFiles:
    """Where the control plane's files are."""

    ca: Path
    server_cert: Path
    server_key: Path
    admin_cert: Path
    admin_key: Path
    token_key: Path
    encryption: Path

    def client_context(self) -> ssl.SSLContext:
        """For requests as the administrator."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.admin_cert, self.admin_key)
        return context


def write_control_plane(platform: Platform) -> ControlPlaneFiles:
    """Make what is missing; what is there stays, so that tokens and Secrets stay readable."""
    folder = platform.folder("pki")
    authority = Authority(folder)
    server_cert, server_key = authority.issue(API_SERVER)
    # The group that RBAC's bootstrap policy binds to cluster-admin: for the owner, not for us.
    admin_cert, admin_key = authority.issue("voicefleet-admin", organisation="system:masters")
    encryption = folder / "encryption.yaml"
    if not encryption.exists():
        write_private(encryption, yaml.safe_dump(_encryption()))
    files = ControlPlaneFiles(
        authority.certificate,
        server_cert,
        server_key,
        admin_cert,
        admin_key,
        signing_key(folder / "tokens.key"),
        encryption,
    )
    write_private(platform.kubeconfig, kubeconfig(platform, files.ca, admin_cert, admin_key))
    return files


@dataclass(frozen=True)
class Component:
    """One of the cluster's own processes, and how it signs in."""

    ca: Path
    certificate: Path
    key: Path
    kubeconfig: Path


def component(
    platform: Platform, user: str, *, organisation: str | None = None, address: str = "127.0.0.1"
) -> Component:
    """The component with that user name; its certificate is for serving on `address`, too."""
    authority = Authority(platform.folder("pki"))
    certificate, key = authority.issue(user, organisation=organisation, address=address)
    file = platform.folder("node") / f"{user}.kubeconfig"
    write_private(file, kubeconfig(platform, authority.certificate, certificate, key))
    return Component(authority.certificate, certificate, key, file)


def _encryption() -> dict[str, object]:
    """Secrets are encrypted at rest (kubernetes.io, "Encrypting Confidential Data at Rest")."""
    key = base64.b64encode(os.urandom(32)).decode()
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [
                    {"secretbox": {"keys": [{"name": "voicefleet", "secret": key}]}},
                    {"identity": {}},
                ],
            }
        ],
    }


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def kubeconfig(platform: Platform, ca: Path, certificate: Path, key: Path) -> str:
    """A kubeconfig for this platform's API server, of whom a client certificate names."""
    user = {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}
    name = "voicefleet"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": f"https://127.0.0.1:{platform.port('kubernetes')}",
                        "certificate-authority-data": _data(ca),
                    },
                }
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )
