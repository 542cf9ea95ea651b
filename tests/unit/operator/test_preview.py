"""What `voicefleet plan` foresees of changed, new and deleted manifests."""

from __future__ import annotations

from typing import Any

import pytest

from support import manifests
from voicefleet_operator.planning.desired import Unmet
from voicefleet_operator.planning.plan import ActionKind
from voicefleet_operator.preview import Change, Preview, preview

pytestmark = pytest.mark.unit

Object = dict[str, Any]
FLEET = manifests.fleet("default")
NUMBER = "+14155550100"
STATUS = {
    "clientID": "vc-aaaaaaaaaa",
    "numbers": [{"name": "line-0", "e164": NUMBER}],
    "billing": {"subscriptionID": "sub_1"},
}


def client(name: str = "a", **spec: Any) -> Object:
    return manifests.voice_client(name, plan="Small", **spec)


def foresee(
    documents: list[Object], *live: Object, before: list[Object] | None = None
) -> dict[str, Preview]:
    there = {(obj["kind"], obj["metadata"]["name"]): obj for obj in (FLEET, *live)}
    found = preview(
        documents, lambda kind, _, name: there.get((kind, name)), "default", before or []
    )
    return {item.name: item for item in found}


def targets(item: Preview, kind: ActionKind) -> list[str]:
    return [action.target for action in item.actions if action.kind == kind]


def test_a_manifest_that_is_gone_takes_its_client_down_with_the_money() -> None:
    there = {**client(), "status": STATUS}
    gone = foresee([], there, before=[client()])["a"]
    assert gone.change == Change.DELETED
    assert targets(gone, ActionKind.RELEASE_NUMBER) == [NUMBER]
    assert targets(gone, ActionKind.CANCEL_SUBSCRIPTION) == ["sub_1"]
    new = foresee([client("b")])["b"]
    assert new.change == Change.NEW
    assert (gone.plan.cost_minor, gone.plan.revenue_minor) == (
        -new.plan.cost_minor,
        -new.plan.revenue_minor,
    )
    assert new.plan.revenue_minor == 100


def test_a_number_that_is_retained_goes_on_costing() -> None:
    claim = {**manifests.numbers(1)[0], "reclaimPolicy": "Retain"}
    kept = client(telephony={"numbers": [claim]})
    gone = foresee([], {**kept, "status": STATUS}, before=[kept])["a"]
    [release] = [a for a in gone.actions if a.kind == ActionKind.RELEASE_NUMBER]
    assert (release.cost_minor, release.reversible) == (0, True)


def test_a_protected_client_is_not_foreseen_to_go() -> None:
    protected = {**client(deletionProtection=True), "status": STATUS}
    with pytest.raises(Unmet, match="in a change before this one"):
        foresee([], protected, before=[client()])
    # What counts is what the cluster has, as admission sees it.
    foresee([], {**client(), "status": STATUS}, before=[client(deletionProtection=True)])


def test_what_was_never_applied_does_not_go() -> None:
    assert foresee([], before=[client()]) == {}


def test_another_plan_says_what_the_client_pays_more() -> None:
    changed = foresee([manifests.voice_client("a", plan="Endless")], {**client(), "status": STATUS})
    assert changed["a"].change == Change.CHANGED
    assert [action.kind for action in changed["a"].actions] == [ActionKind.CHANGE_PRICE]
    assert (changed["a"].plan.cost_minor, changed["a"].plan.revenue_minor) == (0, 100)


def test_a_fleet_among_the_manifests_counts() -> None:
    dearer = manifests.fleet(
        "default", plans=[{"name": "Small", "monthlyPriceMinor": 150, "maxNumbers": 2}]
    )
    changed = foresee([dearer, client()], {**client(), "status": STATUS})["a"]
    assert changed.plan.revenue_minor == 50
    with pytest.raises(Unmet, match="there is no Fleet"):
        foresee([client()], before=[dearer])


def test_words_that_are_gone_are_missed_though_the_cluster_has_them_yet() -> None:
    words, speaking = manifests.receptionist("words"), client(receptionistRef={"name": "words"})
    foresee([words, speaking], words)
    with pytest.raises(Unmet, match="no Receptionist 'words'"):
        foresee([speaking], words, before=[words, speaking])


def test_what_is_there_is_not_called_new() -> None:
    there = {**client(), "status": STATUS}
    suspended = foresee([client(suspend=True)], there)["a"]
    gone = foresee([], there, before=[client()])["a"]
    for item in (suspended, gone):
        told = [text for action in item.actions for text in (action.target, *action.after)]
        assert told
        assert not [text for text in told if "(new)" in text]


def test_a_client_that_never_could_be_is_planned_once_it_can() -> None:
    never = client(business={"timeZone": "Mars/Olympus"})
    mended = foresee([client()], {**never, "status": {"clientID": "vc-aaaaaaaaaa"}})["a"]
    assert targets(mended, ActionKind.CLAIM_NUMBER) == ["line-0 (US 415)"]
    # What it had before the edit that cannot be met is not known to the planner.
    with pytest.raises(Unmet, match="no time zone"):
        foresee([client()], {**never, "status": STATUS})
