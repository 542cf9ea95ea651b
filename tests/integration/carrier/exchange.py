"""A carrier, two SIP servers of a customer's and two people's phones, each a host of its own; and a
carrier beside the whole platform, on this host."""

from __future__ import annotations

import json
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
from voicefleet_infra.carrier import carrier
from voicefleet_infra.edge import phone_line
from voicefleet_infra.pki import Authority
from voicefleet_infra.probes import http_ok, sip_answers
from voicefleet_infra.service import Service

PORT = 5060
NO_REPLY_SECONDS = 1.0
SILENT_SECONDS = 2.0
"""Until a leg that the carrier's switch has connected, and that sends no sound, has ended."""
CALLER, OWNER = "+15005550006", "+14155550199"
FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"
_ACCOUNT, _TOKEN = "AC" + "1" * 32, "token"
_SANDBOX_PORT, _SWITCH_PORT = 12111, 5070
_SANDBOX = f"http://127.0.0.1:{_SANDBOX_PORT}"
"""On the carrier's own loopback."""


class Line(Stack):
    """The platform with its phone line and the carrier."""

    def _services(self) -> list[Service]:
        own = [*phone_line(self.platform), carrier(self.platform)]
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
    port: int = 5060


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
                f"{_SANDBOX}/twilio{path}", data=data, auth=(_ACCOUNT, _TOKEN), trust_env=False
            )
        assert answer.is_success, answer.text
        return answer.json()

    def number(
        self, *urls: Url, recovery: str = "", voice_url: str = "", fallback: str = ""
    ) -> str:
        """A new number: on a trunk with these URLs, or without one where there are none."""
        path = f"/api/2010-04-01/Accounts/{_ACCOUNT}/IncomingPhoneNumbers.json"
        bought = self._post(path, AreaCode="415", VoiceUrl=voice_url, VoiceFallbackUrl=fallback)
        if urls:
            trunk = self._post(
                "/trunking/v1/Trunks", FriendlyName="test", DisasterRecoveryUrl=recovery
            )["sid"]
            for url in urls:
                self._post(
                    f"/trunking/v1/Trunks/{trunk}/OriginationUrls",
                    FriendlyName="test",
                    SipUrl=f"sip:{url.host.address}:{url.port}",
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

    def webhook(self, folder: Path) -> str:
        """Start our voice webhook, without a LiveKit to ask; its address."""
        port = 8090
        url = f"http://127.0.0.1:{port}"
        livekit = {"url": "http://127.0.0.1:9", "apiKey": "key", "apiSecret": "secret"}
        file = folder / "voice.json"
        accounts = {_ACCOUNT: _TOKEN}
        file.write_text(json.dumps({"url": url, "accounts": accounts, "livekit": livekit}))
        words = ["voicefleet_portal.voice", f"--port={port}", f"--settings={file}"]
        _start(self.carrier, folder / "voice.log", words)

        def up() -> bool:
            with self.carrier.inside():
                return http_ok(port, "/healthz")

        until(up, "the webhook does not answer")
        return url

    def call(self, number: str, *, seconds: float = 0.5, **options: Any) -> Call:
        """Call a number from the caller's phone."""
        with self.caller.inside():
            return dial(
                f"sip:{number}@{self.edge}", caller=CALLER, address=self.caller.address,
                seconds=seconds, **options,
            )  # fmt: skip


def exchange(lab: Lab, folder: Path) -> Exchange:
    """With the sandbox and its SIP edge running."""
    hosts = (lab.host(name) for name in ("carrier", "one", "two", "phone", "owner"))
    made = Exchange(*hosts)
    _start(made.carrier, folder / "sandbox.log", ["voicefleet_sandbox"])
    edge = ["voicefleet_sandbox.carrier", f"--host={made.carrier.address}", f"--sandbox={_SANDBOX}"]
    edge += [f"--networks={NETWORK}", f"--no-reply-seconds={NO_REPLY_SECONDS}"]
    authority = Authority(folder / "pki")
    certificate, private_key = authority.issue("carrier")
    edge += [f"--certificate={certificate}", f"--private-key={private_key}"]
    switch = f"{made.carrier.address}:{_SWITCH_PORT}"
    edge += [f"--ca={authority.certificate}", f"--switch={switch}"]
    _start(made.carrier, folder / "edge.log", edge)
    words = ["voicefleet_sandbox.carrier.switch", f"--host={made.carrier.address}"]
    words += [f"--port={_SWITCH_PORT}", f"--edge={made.edge}", f"--sandbox={_SANDBOX}"]
    words.append(f"--no-reply-seconds={NO_REPLY_SECONDS}")
    _start(made.carrier, folder / "switch.log", [*words, f"--silent-seconds={SILENT_SECONDS}"])

    def up() -> bool:
        with made.carrier.inside():
            return http_ok(_SANDBOX_PORT, "/_sandbox/health") and all(
                sip_answers(made.carrier.address, port) for port in (PORT, _SWITCH_PORT)
            )

    until(up, f"the carrier does not answer; see the logs in {folder}")
    return made


def _start(host: Host, log: Path, module: Sequence[str]) -> None:
    host.start([sys.executable, "-m", *module], log)
