"""Rules for what runs in the cluster."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet_policies.pods import PODMAN, containers, label, pod
from voicefleet_policies.rules import Props, Rule, items, mapping

MEDIA = frozenset({"livekit", "livekit-sip", "sip-edge"})
"""`app.kubernetes.io/name` of what carries sound, on the node's own network."""


def _limits(type_: str, props: Props) -> Iterator[str]:
    # A home lab is one machine, and its kernel shares the processor out.
    wanted = ("memory",) if type_ == PODMAN else ("cpu", "memory")
    for container in containers(type_, props):
        limits = mapping(mapping(container.get("resources")).get("limits"))
        missing = [name for name in wanted if not limits.get(name)]
        if missing:
            yield f"container {container.get('name')} has no limit of {' and '.join(missing)}"


def pinned(image: str) -> bool:
    """Whether an image reference always means the same image: by digest, or a tag but latest.

    A reference is `[registry[:port]/]name[:tag][@digest]`, and a digest is `sha256:…`
    (https://github.com/distribution/reference).
    """
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag not in ("", "latest")


def _images(type_: str, props: Props) -> Iterator[str]:
    for container in containers(type_, props):
        image = str(container.get("image", ""))
        if not pinned(image):
            yield f"container {container.get('name')} runs {image or 'no image'}"


def _privileges(type_: str, props: Props) -> Iterator[str]:
    for container in containers(type_, props):
        name, security = container.get("name"), mapping(container.get("securityContext"))
        if security.get("privileged"):
            yield f"container {name} is privileged"
        elif security.get("allowPrivilegeEscalation", True):
            yield f"container {name} may gain privileges"
        for capability in items(mapping(security.get("capabilities")).get("add")):
            if capability != "NET_BIND_SERVICE":
                yield f"container {name} has the capability {capability}"


def _host_paths(type_: str, props: Props) -> Iterator[str]:
    for volume in items(mapping(pod(type_, props).get("spec")).get("volumes")):
        if "hostPath" in volume:
            path = mapping(volume.get("hostPath")).get("path")
            yield f"volume {volume.get('name')} is {path} of the node"


def _host_network(type_: str, props: Props) -> Iterator[str]:
    template = pod(type_, props)
    spec = mapping(template.get("spec"))
    for field in ("hostPID", "hostIPC"):
        if spec.get(field):
            yield f"the pod sees the node's processes ({field})"
    if label(template, "app.kubernetes.io/name") in MEDIA:
        return
    if spec.get("hostNetwork"):
        yield "the pod is on the node's network"
    for container in containers(type_, props):
        ports = [mapping(port).get("hostPort") for port in items(container.get("ports"))]
        for port in filter(None, ports):
            yield f"container {container.get('name')} takes the node's port {port:g}"


RULES = (
    Rule(
        "container-limits",
        "Every container has limits of processor and memory.",
        "Set resources.limits.cpu and resources.limits.memory: without them one client's pod can"
        " take all of a node that others' calls run on",
        _limits,
    ),
    Rule(
        "pinned-image",
        "Every container's image has a tag other than latest, or a digest.",
        "Name a version (name:1.2.3) or a digest (name@sha256:…), so that a pod that starts again"
        " is the same program",
        _images,
    ),
    Rule(
        "no-privileged-container",
        "No container is privileged or can become so.",
        "Set securityContext.allowPrivilegeEscalation: false, leave out privileged, and add no"
        " capability but NET_BIND_SERVICE",
        _privileges,
    ),
    Rule(
        "no-host-path",
        "No pod mounts a folder of its node.",
        "Use a PersistentVolumeClaim, an emptyDir, a ConfigMap or a Secret",
        _host_paths,
    ),
    Rule(
        "host-network-for-media-only",
        "Only what carries sound is on a node's network; nothing sees a node's processes.",
        "Leave out hostNetwork, hostPort, hostPID and hostIPC and use a Service; LiveKit, its SIP"
        " bridge and the SIP edge are told by their label app.kubernetes.io/name",
        _host_network,
    ),
)
