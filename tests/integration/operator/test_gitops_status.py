"""What GitOps tools make of objects as the controller leaves them: kstatus, Argo CD, kubectl."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support import manifests
from support.argocd import RULES, health
from support.controlplane import Refused
from support.kstatus import Status, kstatus
from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration

Object = dict[str, Any]
PAUSED = "voicefleet.dev/paused"
KINDS = {"VoiceClient": "vc", "PhoneNumber": "pn", "Fleet": "fleet"}
STATES = {
    ("VoiceClient", "unhandled"): (Status.IN_PROGRESS, "Progressing"),
    ("VoiceClient", "edited"): (Status.IN_PROGRESS, "Progressing"),
    ("VoiceClient", "waiting"): (Status.IN_PROGRESS, "Progressing"),
    ("VoiceClient", "ready"): (Status.CURRENT, "Healthy"),
    ("VoiceClient", "stalled"): (Status.FAILED, "Degraded"),
    ("VoiceClient", "suspended"): (Status.CURRENT, "Suspended"),
    ("VoiceClient", "paused"): (Status.CURRENT, "Suspended"),
    ("VoiceClient", "deleting"): (Status.TERMINATING, "Progressing"),
    ("PhoneNumber", "bound"): (Status.CURRENT, "Healthy"),
    ("PhoneNumber", "failed"): (Status.FAILED, "Degraded"),
    ("Fleet", "ready"): (Status.CURRENT, "Healthy"),
    ("Fleet", "keyless"): (Status.IN_PROGRESS, "Progressing"),
}


def server_side(stack: Stack, verb: str, obj: Object) -> str:
    """`kubectl apply` or `diff` as Flux does it: server-side, under a field manager of its own."""
    words = ("--server-side", "--field-manager=gitops", "-f", "-")
    return stack.kubectl(verb, *words, stdin=yaml.safe_dump(obj))


READY = client("ready")
FALLBACK = {"fallback": {"forwardTo": "+14155550199"}}
SUSPENDED = client("suspended", suspend=True, telephony=FALLBACK)


@pytest.fixture(scope="module")
def states(whole_stack: Stack) -> Iterator[dict[tuple[str, str], Object]]:
    """An object in each state; the operator has stopped, so that they stay in it."""
    stack = whole_stack
    if stack.operator is None or stack.operator.poll() is not None:
        stack.start_operator()
    server_side(stack, "apply", READY)
    stack.apply(
        SUSPENDED,
        client("paused"),
        client("edited"),
        client("deleting"),
        client("waiting", receptionistRef={"name": "later"}),
        client("stalled", business={"timeZone": "Mars/Olympus"}),
        manifests.phone_number("failed", request={"areaCode": "999"}),
        manifests.fleet("keyless"),
    )
    for name in ("ready", "suspended", "paused", "edited", "deleting"):
        stack.wait(name, "Ready")
    stack.wait("waiting", "Reconciling")
    stack.wait("stalled", "Stalled")
    stack.kubectl("annotate", "vc", "paused", f"{PAUSED}=true")
    until(lambda: "Paused" in conditions(stack.client("paused")), "the pause is not said")
    for kind, name in (("pn", "failed"), ("fleet", "keyless"), ("fleet", "default")):
        until(lambda k=kind, n=name: conditions(stack.get(k, n)), f"{kind} {name} is not handled")
    stack.stop_operator(signal.SIGTERM)
    try:
        stack.apply(client("unhandled"))
        stack.patch("edited", {"plan": "Enterprise"})
        stack.kubectl("delete", "vc", "deleting", "--wait=false")
        live = {
            ("PhoneNumber", "bound"): stack.client("ready")["status"]["numbers"][0][
                "phoneNumberRef"
            ],
            ("Fleet", "ready"): "default",
        }
        yield {
            (kind, state): stack.get(KINDS[kind], live.get((kind, state), state))
            for kind, state in STATES
        }
    finally:
        stack.start_operator()
        stack.kubectl("annotate", "vc", "paused", f"{PAUSED}-")
        stack.kubectl("delete", "vc", "--all", "--timeout=120s")
        stack.kubectl("delete", "pn", "--all", "--timeout=60s")
        stack.kubectl("delete", "fleet", "keyless", "--timeout=60s")


@pytest.mark.parametrize(("kind", "state"), STATES)
def test_flux_and_argo_cd_tell_each_state(
    states: dict[tuple[str, str], Object], kind: str, state: str
) -> None:
    obj = states[kind, state]
    assert (kstatus(obj), health(kind, obj)[0]) == STATES[kind, state]


@pytest.mark.parametrize(("kind", "state"), STATES)
def test_the_health_rules_test_data_are_what_the_controller_says(
    states: dict[tuple[str, str], Object], kind: str, state: str
) -> None:
    data = yaml.safe_load((RULES / kind / "testdata" / f"{state}.yaml").read_text())

    def told(obj: Object) -> dict[str, tuple[str, str]]:
        return {name: (c["status"], c["reason"]) for name, c in conditions(obj).items()}

    assert told(data) == told(states[kind, state])
    assert health(kind, data)[0] == health(kind, states[kind, state])[0]


@pytest.mark.usefixtures("states")
def test_kubectl_waits_for_conditions_and_reasons(whole_stack: Stack) -> None:
    wait = ("wait", "--timeout=90s")
    whole_stack.kubectl(*wait, "--for=condition=Ready", "vc/ready", "vc/suspended", "fleet/default")
    whole_stack.kubectl(*wait, "--for=condition=Stalled", "vc/stalled", "pn/failed")
    reason = '{.status.conditions[?(@.type=="Ready")].reason}'
    whole_stack.kubectl(*wait, f"--for=jsonpath={reason}=ReceptionistNotFound", "vc/waiting")
    whole_stack.kubectl(*wait, "--for=jsonpath={.status.phase}=Failed", "pn/failed")


@pytest.mark.usefixtures("states")
@pytest.mark.parametrize("name", ["edited", "unhandled", "waiting", "stalled"])
def test_kubectl_does_not_take_what_was_for_what_is(whole_stack: Stack, name: str) -> None:
    with pytest.raises(Refused, match="timed out"):
        whole_stack.kubectl("wait", "--for=condition=Ready", f"vc/{name}", "--timeout=1s")


@pytest.mark.usefixtures("states")
def test_a_client_that_is_ready_shows_no_drift(whole_stack: Stack) -> None:
    """Neither to a server-side dry run (Flux, Argo CD's ServerSideDiff) nor to a client's diff."""
    before = whole_stack.client("ready")
    server_side(whole_stack, "diff", READY)
    server_side(whole_stack, "apply", READY)
    assert whole_stack.client("ready") == before
    whole_stack.kubectl("diff", "-f", "-", stdin=yaml.safe_dump(SUSPENDED))


@pytest.mark.usefixtures("states")
def test_what_a_person_sets_beside_git_is_no_drift(whole_stack: Stack) -> None:
    by_hand = client("by-hand", telephony=FALLBACK)
    server_side(whole_stack, "apply", by_hand)
    whole_stack.patch("by-hand", {"suspend": True})
    server_side(whole_stack, "diff", by_hand)
    server_side(whole_stack, "apply", by_hand)
    assert whole_stack.client("by-hand")["spec"]["suspend"] is True
    # What Git does say is put back.
    whole_stack.patch("by-hand", {"plan": "Enterprise"})
    with pytest.raises(Refused):
        server_side(whole_stack, "diff", by_hand)


@pytest.mark.usefixtures("states")
def test_words_are_current_as_soon_as_they_are_there(whole_stack: Stack) -> None:
    """Nobody handles a Receptionist: a tool that waited for it would wait for ever."""
    whole_stack.apply(manifests.receptionist("said"))
    said = whole_stack.get("rcp", "said")
    whole_stack.kubectl("delete", "rcp", "said")
    assert kstatus(said) == Status.CURRENT
