"""A carrier, two SIP servers of a customer's and two people's phones, each a host of its own; and a
carrier beside the whole platform, on this host."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from support.netns import NETWORK, Host, Lab
from support.stack import Stack, until
from voicefleet_cli.phone import Call, dial
from voicefleet_infra import services
from voicefleet_infra.edge import phone_line
from voicefleet_infra.pki import Authority
from voicefleet_infra.probes import http_ok, sip_answers
from voicefleet_infra.services import Service

PORT = 5060
NO_REPLY_SECONDS = 1.0
CALLER, OWNER = "+15005550006", "+14155550199"
FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"
_ACCOUNT = "AC" + "1" * 32
_SANDBOX_PORT = 12111
_SANDBOX = f"http://127.0.0.1:{_SANDBOX_PORT}"
"""On the carrier's own loopback."""


class Line(Stack):
    """The platform with its phone line and the carrier."""

    def _services(self) -> list[Service]:
        own = [*phone_line(self.platform), services.carrier(self.platform)]
        return [*super()._services(), *own]

    def die(self) -> None:
        """Kill everything but the carrier."""
        self.stop_operator()
        for name in self.pids.keys() - {"sandbox", "carrier"}:
            # Each is the leader of a group: kamailio is several processes.
            os.killpg(self.pids[name], signal.SIGKILL)


class Url(NamedTuple):
    """An origination URL."""

    host: Host
    priority: int = 10
    weight: int = 10
    enabled: bool = True


@dataclass(frozen=True)
class Exchange:
    """The carrier's side, and the cables to everybody."""

    carrier: Host
    one: Host
    two: Host
    caller: Host
    owner: Host

    @property
    def edge(self) -> str:
        """Address and port of the carrier's SIP edge."""
        return f"{self.carrier.address}:{PORT}"

    def _post(self, path: str, **data: Any) -> Any:
        with self.carrier.inside():
            answer = httpx.post(
                f"{_SANDBOX}/twilio{path}", data=data, auth=(_ACCOUNT, "token"), trust_env=False
            )
        assert answer.is_success, answer.text
        return answer.json()

    def number(self, *urls: Url, recovery: str = "", voice_url: str = "") -> str:
        """A new number: on a trunk with these URLs, or without one where there are none."""
        path = f"/api/2010-04-01/Accounts/{_ACCOUNT}/IncomingPhoneNumbers.json"
        bought = self._post(path, AreaCode="415", VoiceUrl=voice_url)
        if urls:
            trunk = self._post(
                "/trunking/v1/Trunks", FriendlyName="test", DisasterRecoveryUrl=recovery
            )["sid"]
            for url in urls:
                self._post(
                    f"/trunking/v1/Trunks/{trunk}/OriginationUrls",
                    FriendlyName="test",
                    SipUrl=f"sip:{url.host.address}:5060",
                    Priority=url.priority,
                    Weight=url.weight,
                    Enabled=str(url.enabled).lower(),
                )
            self._post(f"/trunking/v1/Trunks/{trunk}/PhoneNumbers", PhoneNumberSid=bought["sid"])
        number: str = bought["phone_number"]
        return number

    def let_out(self, number: str, user: str, password: str) -> None:
        """Who signs in so may call out over the number's trunk."""
        lists = f"/api/2010-04-01/Accounts/{_ACCOUNT}/SIP/CredentialLists"
        made = self._post(f"{lists}.json", FriendlyName="test")["sid"]
        self._post(f"{lists}/{made}/Credentials.json", Username=user, Password=password)
        with self.carrier.inside():
            route = httpx.get(f"{_SANDBOX}/_sandbox/route", params={"number": number}).json()
        trunk = f"/trunking/v1/Trunks/{route['trunkSid']}"
        self._post(f"{trunk}/CredentialLists", CredentialListSid=made)

    def call(self, number: str, *, seconds: float = 0.5, **options: Any) -> Call:
        """Call a number from the caller's phone."""
        with self.caller.inside():
            return dial(
                f"sip:{number}@{self.edge}", caller=CALLER, address=self.caller.address,
                seconds=seconds, **options,
            )  # fmt: skip


def exchange(lab: Lab, folder: Path) -> Exchange:
    """With the sandbox and its SIP edge running."""
    hosts = (lab.host(name) for name in ("carrier", "one", "two", "caller", "owner"))
    made = Exchange(*hosts)
    _start(made.carrier, folder / "sandbox.log", ["voicefleet_sandbox"])
    edge = ["voicefleet_sandbox.carrier", f"--host={made.carrier.address}", f"--sandbox={_SANDBOX}"]
    edge += [f"--networks={NETWORK}", f"--no-reply-seconds={NO_REPLY_SECONDS}"]
    authority = Authority(folder / "pki")
    certificate, private_key = authority.issue("carrier")
    edge += [f"--certificate={certificate}", f"--private-key={private_key}"]
    edge.append(f"--ca={authority.certificate}")
    _start(made.carrier, folder / "edge.log", edge)

    def up() -> bool:
        with made.carrier.inside():
            return http_ok(_SANDBOX_PORT, "/_sandbox/health") and sip_answers(
                made.carrier.address, PORT
            )

    until(up, f"the carrier does not answer; see the logs in {folder}")
    return made


def _start(host: Host, log: Path, module: Sequence[str]) -> None:
    host.start([sys.executable, "-m", *module], log)
