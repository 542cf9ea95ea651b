"""What the reconcilers share."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from voicefleet_api import tokens
from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.names import ANNOTATION_PAUSED, FINALIZER
from voicefleet_operator.drivers.guard import Guards
from voicefleet_operator.drivers.runtime import make_runtime
from voicefleet_operator.drivers.runtime.guarded import GuardedRuntime
from voicefleet_operator.execution.status import SETTLE
from voicefleet_operator.kube import SECRETS, Kube, Object
from voicefleet_operator.settings import Settings
from voicefleet_operator.store import Store
from voicefleet_operator.workqueue import Key, WorkQueue
from voicefleet_operator.world import Listed, Runtime, World, add_voices, build_world

# Longer than any call to a vendor may take.
_CLOSE_AFTER = 60.0


class Retry(Exception):
    """The pass has written its status and wants another one after a back-off.

    `at_least` and `at_most`: bounds of the wait, in seconds.
    """

    def __init__(self, at_least: float, at_most: float | None = None) -> None:
        super().__init__("retry")
        self.at_least = at_least
        self.at_most = at_most


@dataclass
class Controller:
    """What every reconciliation works with."""

    kube: Kube
    store: Store
    queue: WorkQueue
    settings: Settings
    worlds: dict[str, World] = field(default_factory=dict)
    """By the Fleet's name."""
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    on_runtime: Callable[[str, Runtime], None] = lambda _class, _runtime: None
    """Called with every runtime driver that comes into use, so that it is watched."""
    settled: bool = False
    """What a former process may have had on its way has arrived, and all was listed since."""
    _models_key: str | None = field(init=False, repr=False)
    _guards: Guards = field(init=False)
    _doubts: dict[Key, float] = field(default_factory=dict)
    _fleets: dict[str, tuple[str, FleetSpec, FleetStatus]] = field(default_factory=dict)
    """By name, with the resourceVersion that they were read from."""
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._guards = Guards(self.kube.ensure_leader, self.settings)
        key = self.settings.models_key
        self._models_key = key.read_text().strip() if key is not None else None

    def doubt(self, key: Key) -> None:
        """A request for that object was sent, and nobody knows whether it is carried out yet."""
        self._doubts[key] = asyncio.get_running_loop().time() + SETTLE

    def ready_to_let_go(self, key: Key) -> None:
        """Raise `Retry` while something may still arrive; list anew what was listed before."""
        if not self.settled:
            raise Retry(SETTLE / 2)
        due = self._doubts.get(key)
        if due is None:
            return
        left = due - asyncio.get_running_loop().time()
        if left <= 0:
            del self._doubts[key]
            self.forget_listings()
        raise Retry(left)

    def forget_listings(self) -> None:
        """Every vendor is listed anew by whoever asks next."""
        for world in self.worlds.values():
            for listed in world.all_listed():
                listed.forget()
        for runtime in self.runtimes.values():
            runtime.forget()

    async def world(self, name: str, spec: FleetSpec, fleet_id: str) -> World:
        """The fleet's accounts; made anew when its spec has changed."""

        async def secret(namespace: str, name: str) -> dict[str, str]:
            return await read_secret(self.kube, namespace, name)

        known = self.worlds.get(name)
        if known is not None and known.spec == spec:
            if known.unusable:
                # A Secret may have been mended since it was read.
                await add_voices(known, secret, self._guards)
            return known
        world = await build_world(fleet_id, spec, secret, self._guards)
        # Two reconciliations may have made it at the same time; one of them is kept.
        raced = self.worlds.get(name)
        if raced is not None and raced.spec == spec:
            await world.close()
            return raced
        self.forget_world(name)
        self.worlds[name] = world
        return world

    def forget_world(self, name: str) -> None:
        """Make the fleet's drivers anew next time: its spec or a Secret has changed."""
        known = self.worlds.pop(name, None)
        if known is not None:
            task = asyncio.create_task(_close_later(known))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def runtime(self, class_name: str) -> Runtime:
        """The driver of a runtime class, made when it is first needed."""
        if class_name not in self.runtimes:
            driver = make_runtime(
                class_name,
                kube=self.kube,
                state_dir=self.settings.runtime_state,
                podman_socket=self.settings.podman_socket,
                image=self.settings.agent_image,
                models_folder=self.settings.models_folder,
            )
            guarded = GuardedRuntime(driver, self._guards.of(class_name, ""))
            self.runtimes[class_name] = Listed(guarded, guarded.list)
            self.on_runtime(class_name, self.runtimes[class_name])
        return self.runtimes[class_name]

    def credentials(self, client_id: str) -> dict[str, str]:
        """By which the platform's gateways know the client's agent; empty where there are none.

        To the agent gateway the same token is the secret of an API key of LiveKit's kind.
        """
        if self._models_key is None:
            return {}
        token = tokens.mint(self._models_key, client_id)
        key = {"LIVEKIT_API_KEY": client_id, "LIVEKIT_API_SECRET": token}
        return {"MODELS_TOKEN": token, **key}

    def is_paused(self, obj: Object) -> bool:
        """Whether the object, its client or its whole fleet is paused."""
        fleet = self.store.get(Key("Fleet", "", fleet_name(obj)))
        claim = obj["spec"].get("claimRef")
        client = claim and self.store.get(Key("VoiceClient", claim["namespace"], claim["name"]))
        return any(paused(each) for each in (obj, fleet, client) if each)

    def fleet(self, name: str) -> tuple[FleetSpec, FleetStatus] | None:
        """A Fleet by name, from the store; read once for all of its clients."""
        obj = self.store.get(Key("Fleet", "", name))
        if obj is None:
            return None
        version = obj["metadata"]["resourceVersion"]
        if name not in self._fleets or self._fleets[name][0] != version:
            spec = FleetSpec.model_validate(obj["spec"])
            status = FleetStatus.model_validate(obj.get("status") or {})
            self._fleets[name] = version, spec, status
        return self._fleets[name][1:]


async def _close_later(world: World) -> None:
    """Reconciliations under way still use the old drivers."""
    await asyncio.sleep(_CLOSE_AFTER)
    await world.close()


async def read_secret(kube: Kube, namespace: str, name: str) -> dict[str, str]:
    """A Secret's text; what is none, such as a recording beside a key, is left out."""
    text = {}
    for key, value in (await read_data(kube, namespace, name)).items():
        with contextlib.suppress(UnicodeDecodeError):
            text[key] = value.decode()
    return text


async def read_data(kube: Kube, namespace: str, name: str) -> dict[str, bytes]:
    """All of a Secret's data."""
    obj = await kube.get(SECRETS, name, namespace)
    return {key: base64.b64decode(value) for key, value in obj.get("data", {}).items()}


def deleting(obj: Object) -> bool:
    """Whether the object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def paused(obj: Object) -> bool:
    """Whether a person has asked that nothing be done about the object."""
    annotations = obj["metadata"].get("annotations") or {}
    return annotations.get(ANNOTATION_PAUSED) == "true"


def fleet_name(obj: Object) -> str:
    """The Fleet that a VoiceClient or PhoneNumber belongs to."""
    name: str = obj["spec"].get("fleetRef", {}).get("name", "default")
    return name


def with_finalizer(obj: Object) -> list[str]:
    """Its finalizers and ours."""
    return [*obj["metadata"].get("finalizers", []), FINALIZER]


def has_finalizer(obj: Object) -> bool:
    """Whether it waits for us."""
    return FINALIZER in obj["metadata"].get("finalizers", [])
