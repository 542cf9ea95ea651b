"""Values are found by what they refer to, however they came in, changed and went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.store import Store

pytestmark = pytest.mark.unit

References = tuple[int, ...]
steps = st.lists(st.tuples(st.integers(0, 5), st.none() | st.tuples(*[st.integers(0, 3)] * 2)))


@given(steps)
def test_it_finds_what_a_search_through_all_values_finds(
    steps: list[tuple[int, References | None]],
) -> None:
    indexed: Indexed[int, References] = Indexed(lambda value: value)
    plain: dict[int, References] = {}
    for key, value in steps:
        for things in (indexed, plain):
            if value is None:
                things.pop(key, None)
            else:
                things[key] = value
        assert indexed == plain
        for reference in range(4):
            found = [value for value in plain.values() if reference in value]
            assert sorted(indexed.by(reference)) == sorted(found)


def test_a_number_is_found_by_its_claim_until_it_has_another() -> None:
    store = Store()

    def put(version: int, claim: dict[str, str] | None) -> None:
        meta = {"name": "pn", "resourceVersion": str(version)}
        store.put({"kind": "PhoneNumber", "metadata": meta, "spec": {"claimRef": claim}})

    put(1, {"clientID": "vc-a"})
    assert len(store.numbers_of("vc-a")) == 1
    put(2, None)
    assert not store.numbers_of("vc-a")
    assert len(store.numbers_of(None)) == 1
