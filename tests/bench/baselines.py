"""What the controller is measured against: the same requests bare, and kopf by itself."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from support.stack import Object, Stack
from voicefleet_operator.kube import EVENTS, PHONENUMBERS, VOICECLIENTS, Kube

AT_ONCE = 32
_SECONDS = 1800


async def in_parallel(jobs: Iterable[Awaitable[Any]]) -> None:
    """Await all, `AT_ONCE` at a time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def run(job: Awaitable[Any]) -> None:
        async with limit:
            await job

    await asyncio.gather(*(run(job) for job in jobs))


class Bare:
    """One after the other for each client, what the controller sends for it, and nothing else.

    Objects and bodies are as large as the controller's; LiveKit, DNS and the agent are left out.
    The accounts at the vendors are of its own.
    """

    kubernetes_writes = 9
    """Of each client, without the creation of the VoiceClient, which is the user's."""
    vendor_requests = 9

    def __init__(self, kube: Kube, stack: Stack, status: Object) -> None:
        self._kube = kube
        self._url = stack.platform.sandbox_url
        self._account = "AC" + 32 * "0"
        self._status = status
        """Of a VoiceClient that is Ready."""

    async def run(self, bodies: list[Object]) -> float:
        """Seconds for as many clients; the objects are deleted afterwards."""
        keys: dict[str, Any] = {
            "stripe": aiohttp.BasicAuth("sk_test_bare"),
            "twilio": aiohttp.BasicAuth(self._account, "bare"),
        }
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(self._url, connector=connector) as session:
            self._session, self._keys = session, keys
            price = await self._price()
            begun = time.monotonic()
            await in_parallel(self._client(body, price) for body in bodies)
            seconds = time.monotonic() - begun
        await in_parallel(
            self._kube.delete(*what)
            for body in bodies
            for what in (
                (VOICECLIENTS, body["metadata"]["name"], "default"),
                (PHONENUMBERS, body["metadata"]["name"]),
            )
        )
        return seconds

    async def _client(self, body: Object, price: str) -> None:
        name, kube = body["metadata"]["name"], self._kube
        mark = {f"metadata[voicefleet_{key}]": name for key in ("fleet", "client", "name")}
        made = await kube.create(VOICECLIENTS, body, "default")
        made = await kube.patch(VOICECLIENTS, name, {"metadata": {"labels": {"a": "b"}}}, "default")
        for step in ("customer", "subscription", "last"):
            status = {**self._status, "monthlyCost": step}
            made = await kube.replace_status(VOICECLIENTS, {**made, "status": status}, "default")
            if step == "customer":
                customer = await self._post(
                    "stripe", "/stripe/v1/customers", {"name": name, **mark}
                )
            elif step == "subscription":
                wanted = {"customer": customer["id"], "items[0][price]": price, **mark}
                wanted |= {"collection_method": "send_invoice", "days_until_due": "14"}
                await self._post("stripe", "/stripe/v1/subscriptions", wanted)
                await self._number(body)
        meta = {k: made["metadata"][k] for k in ("name", "namespace", "uid")}
        for reason in ("NumberBought", "Answering"):
            event = {
                "metadata": {"generateName": f"{name}."},
                "involvedObject": {"kind": "VoiceClient", **meta},
                "reason": reason,
                "message": "Calls to +14155550100 are answered",
                "type": "Normal",
            }
            await kube.create(EVENTS, event, "default")

    async def _number(self, body: Object) -> None:
        name, account = body["metadata"]["name"], f"/2010-04-01/Accounts/{self._account}"
        area = body["spec"]["telephony"]["numbers"][0]["request"]["areaCode"]
        spec = {"fleetRef": {"name": "nobodys"}, "account": "main", "request": {"areaCode": area}}
        number = {"apiVersion": body["apiVersion"], "kind": "PhoneNumber", "spec": spec}
        made = await self._kube.create(PHONENUMBERS, {**number, "metadata": {"name": name}})
        trunk = await self._post("twilio", "/twilio/trunking/v1/Trunks", {"FriendlyName": name})
        urls = f"/twilio/trunking/v1/Trunks/{trunk['sid']}/OriginationUrls"
        await self._send("GET", "twilio", urls)
        url = {"FriendlyName": "1", "SipUrl": "sip:192.0.2.1:5060"}
        url |= {"Weight": "10", "Priority": "10", "Enabled": "true"}
        await self._post("twilio", urls, url)
        await self._send("GET", "twilio", urls)
        offered = await self._send(
            "GET",
            "twilio",
            f"/twilio/api{account}/AvailablePhoneNumbers/US/Local.json?AreaCode={area}&PageSize=20",
        )
        # Each its own: who chooses the same one would be refused.
        numbers = offered["available_phone_numbers"]
        for choice in numbers[hash(name) % len(numbers) :] + numbers:
            buy = {"PhoneNumber": choice["phone_number"], "FriendlyName": name}
            try:
                bought = await self._post(
                    "twilio", f"/twilio/api{account}/IncomingPhoneNumbers.json", buy
                )
                break
            except aiohttp.ClientResponseError:
                continue
        status: Object = {"phase": "Pending", "e164": bought["phone_number"], "sid": bought["sid"]}
        for phase in ("Pending", "Bound"):
            made = await self._kube.replace_status(
                PHONENUMBERS, {**made, "status": {**status, "phase": phase}}
            )
        await self._post(
            "twilio",
            f"/twilio/api{account}/IncomingPhoneNumbers/{bought['sid']}.json",
            {"TrunkSid": trunk["sid"]},
        )

    async def _price(self) -> str:
        product = await self._post("stripe", "/stripe/v1/products", {"name": "Bare"})
        price = {"product": product["id"], "currency": "usd", "unit_amount": "4900"}
        made = await self._post(
            "stripe", "/stripe/v1/prices", price | {"recurring[interval]": "month"}
        )
        return str(made["id"])

    async def _post(self, vendor: str, path: str, form: dict[str, str]) -> Object:
        return await self._send("POST", vendor, path, form)

    async def _send(
        self, method: str, vendor: str, path: str, form: dict[str, str] | None = None
    ) -> Object:
        async with self._session.request(
            method, path, data=form, auth=self._keys[vendor], raise_for_status=True
        ) as answer:
            found: Object = await answer.json()
            return found


KOPF = """\
import kopf

@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    settings.persistence.finalizer = "bench.voicefleet.dev/kopf"

@kopf.on.create("voicefleet.dev", "v1alpha1", "voiceclients")
def create(patch, **_):
    patch.status["monthlyCost"] = "seen"

@kopf.on.delete("voicefleet.dev", "v1alpha1", "voiceclients")
def delete(**_):
    pass
"""


async def kopf_alone(kube: Kube, stack: Stack, bodies: list[Object]) -> tuple[float, float]:
    """Seconds until a kopf operator that does nothing has handled all, and its memory in MiB."""
    program = stack.folder / "noop.py"
    program.write_text(KOPF)
    with (stack.folder / "kopf.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("kopf")), "run", "-A", str(program), "--quiet"),
            env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)},
            stdout=log,
            stderr=log,
        )
    try:
        begun = time.monotonic()
        await in_parallel(kube.create(VOICECLIENTS, body, "default") for body in bodies)
        await _until(
            kube, lambda vc: vc.get("status", {}).get("monthlyCost") == "seen", len(bodies)
        )
        seconds = time.monotonic() - begun
        memory = psutil.Process(process.pid).memory_info().rss / 2**20
        for body in bodies:
            await kube.delete(VOICECLIENTS, body["metadata"]["name"], "default")
        await _until(kube, lambda vc: False, 0)
    finally:
        process.terminate()
        await process.wait()
    return seconds, memory


async def _until(kube: Kube, done: Any, count: int) -> None:
    """Until so many clients are there and all of them are done; raises `TimeoutError`."""
    async with asyncio.timeout(_SECONDS):
        while True:
            clients = await kube.list(VOICECLIENTS)
            if len(clients) == count and all(map(done, clients)):
                return
            await asyncio.sleep(0.5)
