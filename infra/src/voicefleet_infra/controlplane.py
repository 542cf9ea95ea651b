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
    server_cert, server_key = authority.issue("kube-apiserver")
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
    user = {
        "client-certificate-data": _data(admin_cert),
        "client-key-data": _data(admin_key),
    }
    write_private(platform.kubeconfig, kubeconfig(platform, files.ca, user))
    return files


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


def kubeconfig(platform: Platform, ca: Path, user: dict[str, str]) -> str:
    """A kubeconfig for this platform's API server."""
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
