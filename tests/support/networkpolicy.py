"""Who may reach whom, by NetworkPolicies: what a strict engine would let through (pure).

After https://kubernetes.io/docs/concepts/services-networking/network-policies/: a pod is open
in a direction until a policy selects it for that; then it is closed but for what the rules of all
those policies list. A connection needs both ends' consent. A pod's own node always reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A pod, or (without a namespace) an address outside the pods' network, such as a node's."""

    address: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """Namespaces with their labels, and the policies as the API server has them."""

    namespaces: dict[str, dict[str, str]]
    policies: Sequence[Object] = ()

    def allows(self, source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection from one place to a port of the other comes about."""
        return self._lets(source, target, port, protocol, "Egress") and self._lets(
            target, source, port, protocol, "Ingress"
        )

    def _lets(self, pod: Place, peer: Place, port: int, protocol: str, direction: str) -> bool:
        selecting = [
            policy["spec"]
            for policy in self.policies
            if policy["metadata"]["namespace"] == pod.namespace
            and _selects(policy["spec"]["podSelector"], pod.labels)
            and direction in policy["spec"]["policyTypes"]
        ]
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        rules = [rule for spec in selecting for rule in spec.get(key, [])]
        return not selecting or any(
            (not rule.get(peers) or any(self._is(peer, pod, each) for each in rule[peers]))
            and (not rule.get("ports") or any(_covers(p, port, protocol) for p in rule["ports"]))
            for rule in rules
        )

    def _is(self, place: Place, seen_from: Place, peer: Object) -> bool:
        if "ipBlock" in peer:
            block, address = peer["ipBlock"], ip_address(place.address)
            return address in ip_network(block["cidr"]) and not any(
                address in ip_network(excepted) for excepted in block.get("except", [])
            )
        if not place.namespace:
            return False
        if "namespaceSelector" in peer:
            labels = self.namespaces[place.namespace]
            if not _selects(peer["namespaceSelector"], labels):
                return False
        elif place.namespace != seen_from.namespace:
            return False
        return _selects(peer.get("podSelector", {}), place.labels)


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    if set(selector) - {"matchLabels"}:
        raise NotImplementedError(f"selector {selector}")
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _covers(listed: Object, port: int, protocol: str) -> bool:
    first = listed.get("port")
    if first is None:
        return bool(listed.get("protocol", "TCP") == protocol)
    last = listed.get("endPort", first)
    return bool(listed.get("protocol", "TCP") == protocol and first <= port <= last)
