"""`helm install` and `uninstall` on the real API server: what becomes of kinds and clients."""

from __future__ import annotations

import pytest

from support.controlplane import ControlPlane, Refused
from support.helm import RELEASE, helm
from support.manifests import voice_client
from support.stack import until
from voicefleet_api.names import SYSTEM_NAMESPACE

pytestmark = pytest.mark.integration

CRD = "voiceclients.voicefleet.dev"


def install(plane: ControlPlane, *options: str) -> None:
    helm("upgrade", "--install", *RELEASE, *options, kubeconfig=plane.kubeconfig)
    plane.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=90s")


def uninstall(plane: ControlPlane) -> None:
    namespace = f"--namespace={SYSTEM_NAMESPACE}"
    helm("uninstall", "voicefleet", namespace, kubeconfig=plane.kubeconfig)


def test_clients_outlive_the_chart_unless_the_kinds_are_not_kept(bare: ControlPlane) -> None:
    install(bare)
    bare.apply(voice_client("kept"))
    uninstall(bare)
    assert bare.get("vc", "kept")["metadata"]["name"] == "kept"
    with pytest.raises(Refused, match="NotFound"):
        bare.kubectl("get", "deployment", "voicefleet-operator", f"-n={SYSTEM_NAMESPACE}")

    # It takes up again what it left.
    install(bare, "--set=crds.keep=false")
    assert bare.get("vc", "kept")["spec"]["profession"] == "dentist"
    uninstall(bare)
    until(lambda: CRD not in bare.kubectl("get", "crd", "-o", "name"), "the kinds do not go")
