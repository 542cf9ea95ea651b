"""Objects in a cluster as Pulumi resources, by kubectl: server-side apply, and a wait.

pulumi-kubernetes has a plugin that a machine without internet cannot fetch; for a home lab, and for
the custom resources of ours, kubectl is enough.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from voicefleet_infra.cluster import (
    POLICIES_UNREAD,
    TOKEN_LIFE,
    TOKEN_RENEWAL,
    Cluster,
    KubectlFailed,
    kubectl_path,
)
from voicefleet_infra.components.dynamic import Properties, own
from voicefleet_infra.platform import Platform

FIELD_MANAGER = "voicefleet-pulumi"
_READY_SECONDS = 120.0
_WAIT_SECONDS = 240
_RUN_SECONDS = _WAIT_SECONDS + 60
"""Of one kubectl, which itself waits for ever for a server that does not answer."""
_PAUSE = 0.5
"""Seconds between two looks: nothing tells when an API server has read what it refuses for."""

_Done = subprocess.CompletedProcess[str]


def _served(done: _Done) -> bool:
    """Not while the API server has yet to find the kinds that its admission policies refer to."""
    return POLICIES_UNREAD not in done.stderr


def _succeeded(done: _Done) -> bool:
    return not done.returncode


class _Kubectl:
    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig

    def __call__(
        self,
        *words: str,
        objects: Sequence[Properties] = (),
        until: Callable[[_Done], bool] = _served,
    ) -> str:
        """Run it on `objects` (by stdin: nothing secret shows); raises `KubectlFailed`."""
        done = self._run(words, objects, until)
        if done.returncode:
            raise KubectlFailed(f"kubectl {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def differs(self, objects: Sequence[Properties]) -> bool:
        """Whether an apply would change any of them, as the API server sees it."""
        words = ("diff", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}")
        done = self._run((*words, "-f", "-"), objects)
        if done.returncode > 1:
            raise KubectlFailed(f"kubectl diff: {done.stderr.strip()}")
        return bool(done.returncode)

    def ready(self) -> None:
        """Wait for the API server."""
        self("get", "--raw", "/readyz", until=_succeeded)

    def _run(
        self,
        words: Sequence[str],
        objects: Sequence[Properties],
        until: Callable[[_Done], bool] = _served,
    ) -> _Done:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        command = [kubectl_path(), f"--kubeconfig={self._kubeconfig}", *words]
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                done = subprocess.run(
                    command, input=text, capture_output=True, text=True, timeout=_RUN_SECONDS
                )
            except subprocess.TimeoutExpired as error:
                raise KubectlFailed(f"kubectl {words[0]}: no answer in {_RUN_SECONDS} s") from error
            if until(done) or time.monotonic() > deadline:
                return done
            time.sleep(_PAUSE)


class _ManifestProvider(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        return CreateResult(_identity(props["objects"]), self._apply(own(props)))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """The objects that are as they were applied; others are drift."""
        kubectl, before = _Kubectl(props["kubeconfig"]), own(props)
        # It may have been started just now: the machine has booted, its pod was mended.
        kubectl.ready()
        found = before["objects"]
        if kubectl.differs(found):
            found = [target for target in found if not kubectl.differs([target])]
        now = {**before, "objects": found}
        return ReadResult(id_, dict(now), {k: v for k, v in now.items() if k != "status"})

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        # Where the cluster's kubeconfig lies is no property of what is in it.
        return DiffResult(olds.get("objects") != news.get("objects"))

    def update(self, _id: str, olds: Properties, news: Properties) -> UpdateResult:
        applied = self._apply(own(news))
        kept = {_identity([target]) for target in news["objects"]}
        gone = [target for target in olds["objects"] if _identity([target]) not in kept]
        if gone:
            self.delete(_id, {**olds, "objects": gone})
        return UpdateResult(applied)

    def delete(self, _id: str, props: Properties) -> None:
        words = ("delete", "--ignore-not-found", f"--timeout={_WAIT_SECONDS}s", "-f", "-")
        _Kubectl(props["kubeconfig"])(*words, objects=own(props)["objects"])

    def _apply(self, props: Properties) -> Properties:
        kubectl, objects = _Kubectl(props["kubeconfig"]), props["objects"]
        kubectl.ready()
        words = ("apply", "--server-side", "--force-conflicts")
        kubectl(*words, f"--field-manager={FIELD_MANAGER}", "-f", "-", objects=objects)
        if not props.get("wait_for"):
            return props
        condition = (f"--for=condition={props['wait_for']}", f"--timeout={_WAIT_SECONDS}s")
        kubectl("wait", *condition, "-f", "-", objects=objects)
        there = json.loads(kubectl("get", "-o", "json", "-f", "-", objects=objects))
        # One object is given as itself, several as a List.
        found = there["items"] if there["kind"] == "List" else [there]
        return {**props, "status": [item.get("status", {}) for item in found]}


class Manifest(Resource, module="kubernetes", name="Manifest"):
    """Objects, applied as one field manager; with `wait_for`, each has that condition True.

    A field that somebody else owns is left alone, one of ours that was changed is drift. Deletion
    waits until the objects' finalizers have done their work.
    """

    status: pulumi.Output[list[Properties]]
    """Of each object, after the wait; without a wait there is none."""

    def __init__(
        self,
        name: str,
        kubeconfig: pulumi.Input[str],
        objects: pulumi.Input[Sequence[Properties]],
        opts: pulumi.ResourceOptions,
        *,
        wait_for: str = "",
    ) -> None:
        props = {
            "kubeconfig": kubeconfig,
            "objects": objects,
            "wait_for": wait_for,
            "status": None,
        }
        super().__init__(_ManifestProvider(), name, props, opts)


class _TokenProvider(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        return CreateResult(props["account"], self._issue(props))

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        return DiffResult(time.time() > olds["renew_at"] or olds["account"] != news["account"])

    def update(self, _id: str, _olds: Properties, news: Properties) -> UpdateResult:
        return UpdateResult(self._issue(news))

    def _issue(self, props: Properties) -> Properties:
        platform = Platform(Path(props["home"]), cluster=Path(props["kubeconfig"]))
        file = platform.path(f"{props['account']}.kubeconfig")
        # One of a cluster that was there before is worth nothing.
        file.unlink(missing_ok=True)
        text = Cluster(platform).kubeconfig_of(props["account"]).read_text()
        renew_at = int(time.time()) + TOKEN_LIFE - TOKEN_RENEWAL
        return {**own(props), "content": text, "renew_at": renew_at}


class AccountKubeconfig(Resource, module="kubernetes", name="AccountKubeconfig"):
    """A kubeconfig with the token of ServiceAccount `voicefleet-<account>`, renewed in time."""

    content: pulumi.Output[str]
    """Secret."""

    def __init__(
        self,
        name: str,
        account: str,
        kubeconfig: pulumi.Input[str],
        home: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {
            "account": account,
            "kubeconfig": kubeconfig,
            "home": home,
            "content": None,
            "renew_at": None,
        }
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["content"])
        super().__init__(_TokenProvider(), name, props, pulumi.ResourceOptions.merge(opts, hidden))


class _ClientlessProvider(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        return CreateResult("clientless", own(props))

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        return DiffResult(olds["kubeconfig"] != news["kubeconfig"])

    def update(self, _id: str, _olds: Properties, news: Properties) -> UpdateResult:
        return UpdateResult(own(news))

    def delete(self, _id: str, props: Properties) -> None:
        words = ("get", "voiceclients", "--all-namespaces", "--no-headers")
        listed = _Kubectl(props["kubeconfig"])(*words).split("\n")
        names = ["/".join(line.split()[:2]) for line in listed if line]
        if names:
            raise ClientsLeft(
                f"clients are still there, and are paid for: {', '.join(names)}; delete them first"
                " (kubectl delete voiceclients --all --all-namespaces)"
            )


class ClientsLeft(Exception):
    """What would give back a client's numbers and subscription must not go before it."""


class Clientless(Resource, module="kubernetes", name="Clientless"):
    """Cannot be taken down while there are clients; depends on what they need to be taken down."""

    def __init__(
        self, name: str, kubeconfig: pulumi.Input[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(_ClientlessProvider(), name, {"kubeconfig": kubeconfig}, opts)


def _identity(objects: Sequence[Properties]) -> str:
    """Kinds and names, as `kubectl` writes them."""
    return ",".join(
        "/".join(
            part
            for part in (
                target["metadata"].get("namespace"),
                target["kind"].lower(),
                target["metadata"]["name"],
            )
            if part
        )
        for target in objects
    )
