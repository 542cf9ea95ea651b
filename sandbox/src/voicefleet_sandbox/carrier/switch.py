"""`python -m voicefleet_sandbox.carrier.switch`: it keeps callers, and connects them elsewhere.

A back-to-back user agent (sippy does the SIP): the caller's leg ends when the caller or the
number's instructions end it, whatever becomes of the legs that it is connected with. What the
instructions want is asked of the sandbox, `POST /_sandbox/voice/{number}`, at the call's beginning
and after each leg. The edge (`kamailio.cfg`) sends it the calls; numbers are dialled at the edge.

**When a leg has ended.** BYE; or no sound from it for `--silent-seconds`, since a machine that has
died says nothing more. Sound goes through the switch for that reason, as it does at a carrier that
keeps the caller. One that does not answer at all within `--no-reply-seconds` has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import threading
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Self

import httpx
from sippy.CCEvents import (
    CCEventConnect,
    CCEventDisconnect,
    CCEventFail,
    CCEventRedirect,
    CCEventRing,
    CCEventTry,
    CCEventUpdate,
)
from sippy.Core.EventDispatcher import ED2
from sippy.MsgBody import MsgBody
from sippy.SipTransactionManager import SipTransactionManager
from sippy.UA import UA

logger = logging.getLogger(__name__)

_BUSY, _NO_ANSWER = {486, 600, 603}, {408, 480, 487}
_LOOK_SECONDS = 0.5
Params = dict[str, str]


class _Quiet:
    """sippy wants a log of all messages."""

    def write(self, *_: object, **__: object) -> None:
        """Nothing."""


class Switch:
    """SIP in sippy's loop, which is the main thread's; calls in that of asyncio, `loop`."""

    def __init__(self, arguments: argparse.Namespace, loop: asyncio.AbstractEventLoop) -> None:
        self.arguments, self.loop = arguments, loop
        self.http = httpx.AsyncClient(base_url=arguments.sandbox, timeout=40, trust_env=False)
        self.sippy: dict[str, Any] = {
            "_sip_address": arguments.host,
            "_sip_port": arguments.port,
            "_sip_logger": _Quiet(),
        }
        self.sippy["_sip_tm"] = SipTransactionManager(self.sippy, self._request)

    def _request(self, request: Any, transaction: Any) -> Any:
        method = request.getMethod()
        if request.getHFBody("to").getTag() is not None:
            return request.genResponse(481, "Call/Transaction Does Not Exist"), None, None
        if method == "INVITE":
            return _Call(self).caller.recvRequest(request, transaction)
        if method == "OPTIONS":
            return request.genResponse(200, "OK"), None, None
        return request.genResponse(405, "Method Not Allowed"), None, None


class _Side(asyncio.DatagramProtocol):
    """The sound of one side: what comes from it goes out at the other."""

    other: _Side
    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.peer: tuple[str, int] | None = None
        self.heard = 0.0

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def connect(self, sdp: str) -> None:
        """With whoever has said so (RFC 4566)."""
        host = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
        self.peer = (host[1], int(port[1])) if host and port else None
        self.heard = time.monotonic()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        # A leg that was given up may go on sending.
        if address == self.peer:
            self.heard = time.monotonic()
            if self.other.peer is not None:
                self.other.transport.sendto(data, self.other.peer)


@dataclass(frozen=True)
class _Sound:
    """Between the caller and whom they are connected with."""

    host: str
    caller: _Side
    callee: _Side

    @classmethod
    async def open(cls, host: str) -> Self:
        caller, callee = _Side(), _Side()
        caller.other, callee.other = callee, caller
        loop, here = asyncio.get_running_loop(), (host, 0)
        caller.transport, _ = await loop.create_datagram_endpoint(lambda: caller, local_addr=here)
        callee.transport, _ = await loop.create_datagram_endpoint(lambda: callee, local_addr=here)
        return cls(host, caller, callee)

    def shown(self, sdp: str, side: _Side) -> MsgBody:
        """Somebody's description of sound, for that side: it leads through here."""
        sdp = re.sub(r"(?m)^c=IN IP4 \S+", f"c=IN IP4 {self.host}", sdp)
        return MsgBody(re.sub(r"(?m)^m=audio \d+", f"m=audio {side.port}", sdp))

    def close(self) -> None:
        for side in (self.caller, self.callee):
            side.transport.close()


class _Call:
    """One caller's."""

    def __init__(self, switch: Switch) -> None:
        self._switch, self._options = switch, switch.arguments
        self._events: asyncio.Queue[tuple[UA, Any]] = asyncio.Queue()
        self.caller = UA(switch.sippy, self._heard)
        self._answered = False
        asyncio.run_coroutine_threadsafe(self._run(), switch.loop)

    def _heard(self, event: Any, ua: UA) -> None:
        self._switch.loop.call_soon_threadsafe(self._events.put_nowait, (ua, event))

    def _tell(self, ua: UA, event: type[Any], data: Any = None) -> None:
        ED2.callFromThread(lambda: ua.recvEvent(event(data)))

    async def _run(self) -> None:
        _, tried = await self._events.get()
        _, self._from, self._number, offer, _, _ = tried.getData()
        self._sdp, self._sid = str(offer), f"CA{token_hex(16)}"
        self._sound = await _Sound.open(self._options.host)
        self._sound.caller.connect(self._sdp)
        try:
            await self._follow()
        except Exception:
            logger.exception("call to %s", self._number)
        finally:
            # Ends the call where it is not over yet.
            self._tell(self.caller, CCEventFail, (480, "Temporarily Unavailable"))
            self._sound.close()

    async def _follow(self) -> None:
        """Do what the instructions say until they, or the caller, have enough."""
        action, ended = None, Params()
        while True:
            call = {
                "CallSid": self._sid, "From": self._from,
                "CallStatus": "in-progress" if self._answered else "ringing", **ended,
            }  # fmt: skip
            answer = await self._switch.http.post(
                f"/_sandbox/voice/{self._number}", json={"call": call, "action": action}
            )
            dial = answer.raise_for_status().json()
            if dial is None:
                return
            left = await self._connect(dial["to"], dial["timeout"])
            if left is None or dial["action"] is None:
                return
            action, ended = dial["action"], left

    async def _connect(self, to: str, ring_seconds: float) -> Params | None:
        """Connect the caller until that leg ends, and say how it did; None: the caller has left."""
        sip = re.fullmatch(r"sips?:([^@]+)@([^:;]+)(?::(\d+))?.*", to)
        user, host, port = sip.groups() if sip else (to, *self._options.edge.split(":"))
        callee = UA(self._switch.sippy, self._heard, nh_address=(host, int(port or 5060)))
        offer = self._sound.shown(self._sdp, self._sound.callee)
        self._tell(callee, CCEventTry, (None, self._from, user, offer, None, None))
        begun = time.monotonic()
        try:
            status = await self._until_over(callee, begun, ring_seconds)
        finally:
            self._tell(callee, CCEventDisconnect)
            self._sound.callee.peer = None
        if status is None:
            return None
        ended = {"DialCallSid": f"CA{token_hex(16)}", "DialCallStatus": status}
        bridged = status == "completed"
        if bridged:
            ended["DialCallDuration"] = str(round(time.monotonic() - begun))
        return {**ended, "DialBridged": str(bridged).lower()}

    async def _until_over(self, callee: UA, begun: float, ring_seconds: float) -> str | None:
        ringing = connected = False
        while True:
            try:
                ua, event = await asyncio.wait_for(self._events.get(), _LOOK_SECONDS)
            except TimeoutError:
                if connected:
                    silent = time.monotonic() - self._sound.callee.heard
                    if silent > self._options.silent_seconds:
                        return "completed"
                    continue
                waited = time.monotonic() - begun
                if ringing and waited > ring_seconds:
                    return "no-answer"
                if not ringing and waited > self._options.no_reply_seconds:
                    return "failed"
                continue
            if ua is self.caller:
                if isinstance(event, CCEventDisconnect | CCEventFail):
                    return None
                if isinstance(event, CCEventUpdate):
                    self._sound.caller.connect(str(event.getData()))
                    answer = self._sound.shown(self._sdp, self._sound.caller)
                    self._tell(ua, CCEventConnect, (200, "OK", answer))
            elif ua is callee:
                if isinstance(event, CCEventConnect):
                    connected = True
                    self._bridge(str(event.getData()[2]))
                elif isinstance(event, CCEventRing):
                    ringing = True
                    if not self._answered and event.getData()[0] >= 180:
                        self._tell(self.caller, CCEventRing, (180, "Ringing", None))
                elif isinstance(event, CCEventDisconnect):
                    return "completed" if connected else "failed"
                elif isinstance(event, CCEventFail | CCEventRedirect):
                    return dial_call_status(event.getData()[0])

    def _bridge(self, sdp: str) -> None:
        self._sound.callee.connect(sdp)
        if not self._answered:
            self._answered = True
            # What was agreed upon here is what the next leg is offered.
            self._sdp = sdp
            answer = self._sound.shown(sdp, self._sound.caller)
            self._tell(self.caller, CCEventConnect, (200, "OK", answer))


def dial_call_status(code: int) -> str:
    """A SIP status as Twilio's DialCallStatus."""
    if code in _BUSY:
        return "busy"
    return "no-answer" if code in _NO_ANSWER else "failed"


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="voicefleet_sandbox.carrier.switch",
        description="The switch of the sandbox's carrier: calls to numbers with instructions.",
    )
    parser.add_argument("--host", required=True, help="address to listen on, UDP")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--edge", required=True, help="host:port of the carrier's SIP edge")
    parser.add_argument("--sandbox", required=True, help="base address of the sandbox")
    parser.add_argument(
        "--no-reply-seconds", type=float, default=4.0,
        help="how long a leg may say nothing before it has failed",
    )  # fmt: skip
    parser.add_argument(
        "--silent-seconds", type=float, default=5.0,
        help="how long a leg that is connected may send no sound before it has ended",
    )  # fmt: skip
    loop = asyncio.new_event_loop()
    # One event loop each: sippy's does not know asyncio's.
    threading.Thread(target=loop.run_forever, daemon=True).start()
    Switch(parser.parse_args(), loop)
    ED2.loop()


if __name__ == "__main__":
    main()
