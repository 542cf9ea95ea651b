"""Admission policies on the real API server: protection, plan limits, the operator's bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import yaml

from support.controlplane import OPERATOR, ControlPlane, Refused
from support.manifests import Manifest, fleet, merged, numbers, voice_client

pytestmark = pytest.mark.integration
LABEL = "voicefleet.dev/deletion-protected"


def until(attempt: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Policies and their parameters reach the API server's admission a moment after they exist."""
    deadline = time.monotonic() + seconds
    while not attempt():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def refused(plane: ControlPlane, manifest: Manifest) -> str:
    """What the server says against the manifest; empty where it takes it."""
    try:
        plane.apply(manifest, dry_run=True)
    except Refused as refusal:
        return str(refusal)
    return ""


def sized(count: int, plan: str = "Small", name: str = "sized", fleet: str = "limits") -> Manifest:
    """A client with so many numbers."""
    return voice_client(
        name, plan=plan, fleetRef={"name": fleet}, telephony={"numbers": numbers(count)}
    )


@pytest.fixture(scope="module")
def limits(plane: ControlPlane) -> None:
    """Fleets: `limits` (Small has 2 numbers), `wider` (Small has 3), `none` (Mini has 0)."""
    plane.apply(
        fleet("limits"),
        fleet("wider", plans=[{"name": "Small", "monthlyPriceMinor": 1, "maxNumbers": 3}]),
        fleet("mini", plans=[{"name": "Mini", "monthlyPriceMinor": 1, "maxNumbers": 0}]),
    )
    for name in ("limits", "wider", "mini"):
        unknown = sized(1, "Unknown", fleet=name)
        until(
            lambda unknown=unknown: "has no plan" in refused(plane, unknown), f"policy for {name}"
        )


# Plan limits ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("plan", "in_fleet", "count"),
    [("Small", "limits", 2), ("Small", "wider", 3), ("Endless", "limits", 100)],
)
def test_at_the_limit(plane: ControlPlane, plan: str, in_fleet: str, count: int) -> None:
    assert refused(plane, sized(count, plan, fleet=in_fleet)) == ""


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("plan", "in_fleet", "count", "limit"),
    [("Small", "limits", 3, 2), ("Small", "wider", 4, 3), ("Mini", "mini", 1, 0)],
)
def test_one_over_the_limit(
    plane: ControlPlane, plan: str, in_fleet: str, count: int, limit: int
) -> None:
    said = refused(plane, sized(count, plan, fleet=in_fleet))
    assert (
        f"spec.telephony.numbers: plan {plan} includes {limit} phone number(s), {count} are asked"
        " for; remove some, or choose a larger plan" in said
    )


@pytest.mark.usefixtures("limits")
def test_unknown_plan_lists_the_plans(plane: ControlPlane) -> None:
    said = refused(plane, sized(1, "Gold"))
    assert "spec.plan: fleet limits has no plan Gold; choose one of Small, Endless" in said


@pytest.mark.usefixtures("limits")
def test_a_fleet_that_is_not_there_yet_is_the_controllers_business(plane: ControlPlane) -> None:
    assert refused(plane, sized(50, "Gold", fleet="later")) == ""


@pytest.mark.usefixtures("limits")
def test_a_client_without_numbers_or_fleet_is_not_stumbled_over(plane: ControlPlane) -> None:
    bare = voice_client("bare", telephony={"mode": "None", "numbers": None})
    assert refused(plane, bare) == ""
    named = voice_client(
        "bare", fleetRef={"name": "mini"}, plan="Mini", telephony={"mode": "None", "numbers": None}
    )
    assert refused(plane, named) == ""


@pytest.mark.usefixtures("limits")
def test_the_fleet_named_default_is_the_default(plane: ControlPlane) -> None:
    plane.apply(fleet("default", plans=[{"name": "Odd", "monthlyPriceMinor": 1, "maxNumbers": 1}]))
    try:
        gold = voice_client("unnamed", plan="Gold")
        until(lambda: "fleet default has no plan Gold" in refused(plane, gold), "fleet default")
        said = refused(
            plane, voice_client("unnamed", plan="Odd", telephony={"numbers": numbers(2)})
        )
        assert "plan Odd includes 1 phone number(s), 2 are asked for" in said
    finally:
        plane.kubectl("delete", "fleet", "default")
        until(lambda: refused(plane, gold) == "", "fleet default is gone")


@pytest.mark.usefixtures("limits")
def test_what_the_plan_has_outgrown_can_still_be_helped(plane: ControlPlane) -> None:
    """A stored client over its limit: rename it, shrink it, finalize it; do not make it worse."""
    plans = [{"name": "Shrinks", "monthlyPriceMinor": 1, "maxNumbers": 4}]
    plane.apply(fleet("shrinking", plans=plans))
    client = sized(4, "Shrinks", "outgrown", "shrinking")
    until(lambda: refused(plane, sized(5, "Shrinks", "o2", "shrinking")) != "", "limit of four")
    plane.apply(client)
    plans[0]["maxNumbers"] = 2
    plane.apply(fleet("shrinking", plans=plans))
    until(lambda: refused(plane, sized(3, "Shrinks", "o3", "shrinking")) != "", "limit of two")

    renamed = {**client["spec"], "business": {"name": "Renamed", "email": "a@b.example"}}
    assert refused(plane, {**client, "spec": renamed}) == ""
    assert refused(plane, sized(3, "Shrinks", "outgrown", "shrinking")) == ""
    assert "includes 2 phone number(s), 5" in refused(
        plane, sized(5, "Shrinks", "outgrown", "shrinking")
    )
    finalizer = '{"metadata":{"finalizers":["voicefleet.dev/teardown"]}}'
    plane.kubectl("patch", "vc", "outgrown", "--type=merge", f"--patch={finalizer}")
    status = '{"status":{"clientID":"vc-aaaaaaaaaa"}}'
    plane.kubectl(
        "patch", "vc", "outgrown", "--type=merge", "--subresource=status", f"--patch={status}"
    )
    # Being deleted: it is changed and goes, whatever the plan says.
    plane.kubectl("delete", "vc", "outgrown", "--wait=false")
    plane.apply(sized(6, "Shrinks", "outgrown", "shrinking"))
    plane.kubectl(
        "patch", "vc", "outgrown", "--type=merge", '--patch={"metadata":{"finalizers":null}}'
    )
    until(lambda: not plane.kubectl("get", "vc", "outgrown", "--ignore-not-found"), "it is gone")


# Deletion protection ----------------------------------------------------------------------------


def test_a_protected_client_is_not_deleted(plane: ControlPlane) -> None:
    plane.apply(voice_client("kept", plan="Endless", deletionProtection=True))
    for command in (("delete", "vc", "kept"), ("delete", "vc", "kept", "--force")):
        with pytest.raises(Refused, match=r"VoiceClient default/kept has spec.deletionProtection"):
            plane.kubectl(*command, "--wait=false")
    with pytest.raises(Refused, match=r"set spec.deletionProtection to false first"):
        plane.kubectl("delete", "vc", "--field-selector=metadata.name=kept", "--wait=false")
    with pytest.raises(Refused, match=r"spec.deletionProtection"):
        # One DELETE for the whole collection, as `kubectl delete --all` does not send it.
        plane.kubectl(
            "delete",
            "--raw",
            "/apis/voicefleet.dev/v1alpha1/namespaces/default/voiceclients"
            "?fieldSelector=metadata.name%3Dkept",
        )
    assert plane.get("vc", "kept")["metadata"].get("deletionTimestamp") is None
    plane.apply(voice_client("kept", plan="Endless", deletionProtection=False))
    plane.kubectl("delete", "vc", "kept")


def test_an_unprotected_client_is_deleted(plane: ControlPlane) -> None:
    plane.apply(voice_client("unkept", plan="Endless"))
    plane.kubectl("delete", "vc", "unkept")


def test_the_namespace_of_a_protected_client_is_not_deleted(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "kept")
    plane.kubectl("label", "namespace", "kept", f"{LABEL}=true")
    with pytest.raises(Refused) as refusal:
        plane.kubectl("delete", "namespace", "kept", "--wait=false")
    assert f"kubectl label namespace kept {LABEL}-" in str(refusal.value)
    assert plane.get("namespace", "kept")["status"]["phase"] == "Active"
    plane.kubectl("label", "namespace", "kept", f"{LABEL}-")
    plane.kubectl("delete", "namespace", "kept", "--wait=false")


def test_other_namespaces_are_deleted(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "unkept")
    plane.kubectl("delete", "namespace", "unkept", "--wait=false")


# The operator's bounds --------------------------------------------------------------------------


def as_operator(plane: ControlPlane, kind: str, name: str, patch: Manifest) -> str:
    """A merge patch by the operator's ServiceAccount."""
    return plane.kubectl(
        "patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}", user=OPERATOR
    )


@pytest.fixture(scope="module")
def lodging(plane: ControlPlane) -> str:
    """A namespace with a label and an annotation of somebody else's."""
    plane.kubectl("create", "namespace", "lodging")
    plane.kubectl("label", "namespace", "lodging", "team=a")
    plane.kubectl("annotate", "namespace", "lodging", "note=a")
    return "lodging"


def test_the_operator_sets_and_removes_its_label(plane: ControlPlane, lodging: str) -> None:
    for value in ("true", None):
        as_operator(plane, "namespace", lodging, {"metadata": {"labels": {LABEL: value}}})
    assert LABEL not in plane.get("namespace", lodging)["metadata"]["labels"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        {"labels": {"team": "b"}},
        {"labels": {"team": None}},
        {"labels": {LABEL: "true", "more": "x"}},
        {"annotations": {"note": "b"}},
        {"annotations": {"more": "x"}},
        {"finalizers": ["voicefleet.dev/teardown"]},
    ],
    ids=str,
)
def test_the_operator_changes_nothing_else_of_a_namespace(
    plane: ControlPlane, lodging: str, metadata: Manifest
) -> None:
    with pytest.raises(Refused, match="changes nothing of another namespace but its label"):
        as_operator(plane, "namespace", lodging, {"metadata": metadata})


CLIENT_SPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "vc-0000000009",
        "labels": {
            "voicefleet.dev/client-id": "vc-0000000009",
            "pod-security.kubernetes.io/enforce": "restricted",
        },
    },
}


def written_by_operator(plane: ControlPlane, *manifests: Manifest) -> str:
    """Server-side apply by the operator's ServiceAccount, as a dry run."""
    return plane.kubectl(
        "apply", "--server-side", "--field-manager=voicefleet-operator", "--dry-run=server",
        "-f", "-",
        stdin=yaml.safe_dump_all(manifests), user=OPERATOR,
    )  # fmt: skip


def test_the_operator_makes_clients_namespaces(plane: ControlPlane) -> None:
    written_by_operator(plane, CLIENT_SPACE)


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("shop", {}, "no namespaces but clients'"),
        ("vc-short", {"voicefleet.dev/client-id": "vc-short"}, "no namespaces but clients'"),
        ("vc-0000000009", {"voicefleet.dev/client-id": None}, "no namespaces but clients'"),
        ("vc-0000000009", {"pod-security.kubernetes.io/enforce": None}, "restricted pods alone"),
        (
            "vc-0000000009",
            {"pod-security.kubernetes.io/enforce": "privileged"},
            "restricted pods alone",
        ),
    ],
)
def test_the_operator_makes_no_other_namespace(
    plane: ControlPlane, name: str, labels: Manifest, words: str
) -> None:
    other = merged(CLIENT_SPACE, {"metadata": {"name": name, "labels": labels}})
    with pytest.raises(Refused, match=words):
        written_by_operator(plane, other)


def test_the_operator_deletes_and_takes_over_no_other_namespace(
    plane: ControlPlane, lodging: str
) -> None:
    with pytest.raises(Refused, match="no namespaces but clients'"):
        plane.kubectl("delete", "namespace", lodging, "--wait=false", user=OPERATOR)
    # One that somebody else has made under a client's name.
    strange = "vc-0000000008"
    plane.kubectl("create", "namespace", strange)
    with pytest.raises(Refused, match="changes nothing of another namespace"):
        written_by_operator(
            plane,
            merged(
                CLIENT_SPACE,
                {"metadata": {"name": strange, "labels": {"voicefleet.dev/client-id": strange}}},
            ),
        )


def test_the_operator_cannot_open_a_clients_namespace(plane: ControlPlane) -> None:
    plane.apply(CLIENT_SPACE)
    for change in (
        {"pod-security.kubernetes.io/enforce": "privileged"},
        {"voicefleet.dev/client-id": None},
    ):
        with pytest.raises(Refused, match="admits restricted pods alone"):
            as_operator(plane, "namespace", "vc-0000000009", {"metadata": {"labels": change}})


def test_the_operator_writes_agents_into_clients_namespaces_alone(
    plane: ControlPlane, lodging: str
) -> None:
    plane.apply(CLIENT_SPACE)
    plane.kubectl(
        "create", "secret", "generic", "theirs", "-n", lodging, "--from-literal=key=theirs"
    )
    kinds = {
        "v1": ("Secret", "ConfigMap", "ServiceAccount"),
        "apps/v1": ("Deployment",),
        "networking.k8s.io/v1": ("NetworkPolicy",),
    }
    specs: dict[str, Manifest] = {
        "NetworkPolicy": {"podSelector": {}},
        "Deployment": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
            },
        },
    }
    for version, names in kinds.items():
        for kind in names:
            body: Manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": "theirs"}}
            body |= {"spec": specs[kind]} if kind in specs else {}
            inside = merged(body, {"metadata": {"namespace": "vc-0000000009"}})
            written_by_operator(plane, inside)
            # An empty apply would change nothing, and answer with all that is there.
            for namespace in (lodging, "kube-system"):
                outside = merged(body, {"metadata": {"namespace": namespace}})
                with pytest.raises(Refused, match="writes into clients' namespaces alone"):
                    written_by_operator(plane, outside)
    with pytest.raises(Refused, match="writes into clients' namespaces alone"):
        plane.kubectl("delete", "secret", "theirs", "-n", lodging, user=OPERATOR)


def test_others_are_not_bound_by_the_operators_policy(plane: ControlPlane, lodging: str) -> None:
    plane.kubectl("annotate", "namespace", lodging, "note=b", "--overwrite")


def test_the_operator_writes_metadata_and_status_never_a_spec(plane: ControlPlane) -> None:
    plane.apply(voice_client("owned", plan="Endless", deletionProtection=True))
    as_operator(plane, "vc", "owned", {"metadata": {"finalizers": ["voicefleet.dev/teardown"]}})
    with pytest.raises(Refused, match="never writes into a spec"):
        as_operator(plane, "vc", "owned", {"spec": {"deletionProtection": False}})
    as_operator(plane, "vc", "owned", {"metadata": {"finalizers": None}})
