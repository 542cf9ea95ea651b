"""Bad manifests are refused by the real API server, with words that help (issue: Bad input)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane, Refused
from support.manifests import Manifest, phone_number
from support.rule_cases import (
    ACCEPTED,
    ANY,
    CHANGEABLE,
    CLAIM,
    FIXED,
    FIXED_NUMBER,
    REFUSED,
)
from voicefleet_api import crdgen

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_field_and_remedy(plane: ControlPlane, case: str) -> None:
    manifest, field, words = REFUSED[case]
    with pytest.raises(Refused) as refusal:
        plane.apply(manifest, dry_run=True)
    said = str(refusal.value)
    assert words in said
    named = re.search(rf"(?<![\w.]){re.escape(field)}(?=[:\" ])", said)
    assert named or not field, f"{field} is not named in: {said}"
    assert "should match" not in said, "a bare pattern helps nobody"


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(plane: ControlPlane, case: str) -> None:
    assert "created (server dry run)" in plane.apply(ACCEPTED[case], dry_run=True)


@pytest.fixture(scope="module")
def changing(plane: ControlPlane) -> None:
    """A stored client that tests try to change, and a number that is claimed."""
    plane.apply(CHANGEABLE, phone_number("claimed", claimRef=CLAIM))


@pytest.mark.usefixtures("changing")
@pytest.mark.parametrize("case", FIXED)
def test_what_is_bought_does_not_change(plane: ControlPlane, case: str) -> None:
    changes, field, words = FIXED[case]
    spec = {**CHANGEABLE["spec"], **changes}
    with pytest.raises(Refused, match=re.escape(words)) as refusal:
        plane.apply({**CHANGEABLE, "spec": spec}, dry_run=True)
    assert f"{field}:" in str(refusal.value)


@pytest.mark.usefixtures("changing")
@pytest.mark.parametrize(
    "changes",
    [
        {"fleetRef": {"name": "default"}, "accounts": {"billing": "main", "telephony": "main"}},
        {"business": {"name": "Brighter Smile", "email": "new@bright-smile.example"}},
        {"dns": {"subdomain": "brighter-smile"}},
        {"plan": "Enterprise", "profession": "salon"},
        {"telephony": {"numbers": [{"name": "exact", "e164": "+14155550100"}]}},
        {
            "telephony": {
                "numbers": [
                    {"name": "new", **ANY},
                    # The same as before: defaults written out.
                    {
                        "name": "any",
                        "source": "Purchase",
                        "request": {"country": "US", "areaCode": "415"},
                        "reclaimPolicy": "Retain",
                    },
                ]
            }
        },
    ],
    ids=["defaults written out", "business", "subdomain", "plan", "fewer", "other numbers"],
)
def test_what_may_change(plane: ControlPlane, changes: Manifest) -> None:
    spec = {**CHANGEABLE["spec"], **changes}
    said = plane.apply({**CHANGEABLE, "spec": spec}, dry_run=True)
    assert "configured" in said


@pytest.mark.usefixtures("changing")
@pytest.mark.parametrize("case", FIXED_NUMBER)
def test_a_phone_number_is_what_it_is(plane: ControlPlane, case: str) -> None:
    changes, words = FIXED_NUMBER[case]
    with pytest.raises(Refused, match=words):
        plane.apply(phone_number("claimed", **{"claimRef": CLAIM, **changes}), dry_run=True)


@pytest.mark.usefixtures("changing")
def test_a_phone_number_is_let_go_and_kept(plane: ControlPlane) -> None:
    for patch in ('{"spec":{"claimRef":null}}', '{"spec":{"reclaimPolicy":"Retain"}}'):
        plane.kubectl(
            "patch", "pn", "claimed", "--type=merge", f"--patch={patch}", "--dry-run=server"
        )


def test_every_rule_is_broken_by_a_test() -> None:
    """A rule added to the models without a manifest here that breaks it is noticed."""
    words = [entry[-1] for table in (REFUSED, FIXED, FIXED_NUMBER) for entry in table.values()]
    rules = [
        (kind.plural, rule["message"])
        for kind in crdgen.KINDS
        for rule in rules_of(crdgen.crd(kind))
    ]
    untested = {message for _, message in rules if not any(word in message for word in words)}
    assert len(rules) > 50
    assert untested == set()


def rules_of(node: object) -> Iterator[Manifest]:
    """All CEL rules below a node."""
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", [])
        for child in node.values():
            yield from rules_of(child)
    elif isinstance(node, list):
        for child in node:
            yield from rules_of(child)
