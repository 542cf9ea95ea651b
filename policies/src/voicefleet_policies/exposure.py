"""Rules for what the world can reach."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet_policies.pods import kind
from voicefleet_policies.rules import Props, Rule, items, mapping

_TLS_PORTS = frozenset({443, 5061, 8443})
"""HTTPS, SIP over TLS (RFC 3261), HTTPS behind a proxy."""
_CERTIFICATE = "service.beta.kubernetes.io/aws-load-balancer-ssl-cert"
_SCHEME = "service.beta.kubernetes.io/aws-load-balancer-scheme"
_ADMINISTRATION = {
    22: "SSH",
    2379: "etcd",
    3389: "remote desktop",
    5432: "PostgreSQL",
    6379: "Redis",
    6443: "the Kubernetes API",
    10250: "the kubelet",
}
_EVERYBODY = frozenset({"0.0.0.0/0", "::/0"})


def _plain_load_balancers(type_: str, props: Props) -> Iterator[str]:
    spec = mapping(props.get("spec"))
    if kind(type_) == "Service" and spec.get("type") == "LoadBalancer":
        notes = mapping(mapping(props.get("metadata")).get("annotations"))
        if notes.get(_CERTIFICATE) or notes.get(_SCHEME) == "internal":
            return
        for port in items(spec.get("ports")):
            if port.get("port") not in _TLS_PORTS:
                yield f"port {port.get('port'):g} is open to the world in the clear"
    elif kind(type_) == "Ingress" and not items(spec.get("tls")):
        yield "the Ingress has no TLS"
    elif type_ == "aws:lb/listener:Listener" and props.get("protocol") in ("HTTP", "TCP", "UDP"):
        actions = [mapping(action).get("type") for action in items(props.get("defaultActions"))]
        if actions != ["redirect"]:
            yield f"the listener takes {props.get('protocol')}"


def _openings(type_: str, props: Props) -> Iterator[Props]:
    """What a security group lets in, in the group's own spelling."""
    if type_ == "aws:ec2/securityGroup:SecurityGroup":
        yield from (mapping(rule) for rule in items(props.get("ingress")))
    elif type_ == "aws:ec2/securityGroupRule:SecurityGroupRule" and props.get("type") == "ingress":
        yield props
    elif type_ == "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
        yield {
            "protocol": props.get("ipProtocol"),
            "fromPort": props.get("fromPort"),
            "toPort": props.get("toPort"),
            "cidrBlocks": [props.get("cidrIpv4"), props.get("cidrIpv6")],
        }


def _public_administration(type_: str, props: Props) -> Iterator[str]:
    for opening in _openings(type_, props):
        networks = {*items(opening.get("cidrBlocks")), *items(opening.get("ipv6CidrBlocks"))}
        if not networks & _EVERYBODY:
            continue
        everything = str(opening.get("protocol")) in ("-1", "all")
        first, last = opening.get("fromPort"), opening.get("toPort")
        for port, what in _ADMINISTRATION.items():
            if everything or (first is not None and last is not None and first <= port <= last):
                yield f"{what} (port {port}) is open to everybody"


RULES = (
    Rule(
        "load-balancer-tls",
        "What is open to the world speaks TLS.",
        "Give the Service a certificate or a TLS port, the Ingress spec.tls (cert-manager makes the"
        " certificate), or make it internal; sound and SIP go by the node's network, and only to"
        " the carrier's networks",
        _plain_load_balancers,
    ),
    Rule(
        "no-public-administration",
        "SSH, the Kubernetes API and databases are not open to everybody.",
        "Name the networks that administrators come from (adminNetworks) instead of 0.0.0.0/0",
        _public_administration,
    ),
)
