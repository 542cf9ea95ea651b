"""The vendors' official SDKs on a sandbox, and the vendors' own OpenAPI files."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
import yaml
from jsonschema import Draft4Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT4
from starlette.responses import Response
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from voicefleet_sandbox.exchange import Exchange
from voicefleet_sandbox.server import Sandbox, serve

_HOSTS = {"https://api.twilio.com": "api", "https://trunking.twilio.com": "trunking"}
_SPECS = Path(__file__).parents[4] / "shared" / "specs"


class _Http(TwilioHttpClient):
    """Twilio's client, which has no other way to be pointed elsewhere."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        for host, name in _HOSTS.items():
            if url.startswith(host):
                url = f"{self._base_url}/twilio/{name}{url.removeprefix(host)}"
        assert url.startswith(self._base_url), url
        return super().request(method, url, *args, **kwargs)


def _key() -> str:
    return f"sk_test_{secrets.token_hex(8)}"


@dataclass
class World:
    """A running sandbox with an account at each vendor."""

    sandbox: Sandbox
    url: str
    replies: list[tuple[str, str, str, int, bytes]] = field(default_factory=list)
    stripe_key: str = field(default_factory=_key)
    account_sid: str = field(default_factory=lambda: f"AC{secrets.token_hex(16)}")

    def stripe(self, **options: Any) -> Any:
        """Stripe's SDK, without repeats of its own: `v1` of it."""
        options = {"max_network_retries": 0, "base_addresses": {"api": f"{self.url}/stripe"}} | (
            options
        )
        return stripe.StripeClient(self.stripe_key, **options).v1

    def twilio(self, user: str = "", password: str = "") -> Client:
        """Twilio's SDK, by the account's token unless told otherwise."""
        credentials = (user or self.account_sid, password or "token")
        return Client(*credentials, self.account_sid, http_client=_Http(self.url))

    def own(self, method: str, path: str, **kwargs: Any) -> Any:
        """Ask the sandbox itself."""
        answer = httpx.request(method, self.url + path, timeout=60, trust_env=False, **kwargs)
        assert answer.status_code < 300, answer.text
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer.text

    def fault(self, kind: str, **rule: Any) -> int:
        """Put a fault in force; its id."""
        rule_id: int = self.own("POST", "/_sandbox/faults", json={"kind": kind, **rule})["id"]
        return rule_id

    def ledger(self, *, only_open: bool = False) -> list[dict[str, Any]]:
        """The ledger."""
        entries: list[dict[str, Any]] = self.own(
            "GET", "/_sandbox/ledger", params={"open": "true"} if only_open else {}
        )
        return entries

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.own("POST", "/_sandbox/clock", json={"advanceSeconds": seconds})

    def price(self, amount: int = 49900, **more: Any) -> Any:
        """A monthly price with a product of its own."""
        product = self.stripe().products.create({"name": "Voice agent"})
        recurring = {"interval": "month"}
        return self.stripe().prices.create(
            {
                "product": product.id, "currency": "usd", "unit_amount": amount,
                "recurring": recurring, **more,
            }
        )  # fmt: skip

    def customer(self, card: str | None = "pm_card_visa") -> Any:
        """A customer with a default card."""
        more = {}
        if card:
            default = {"default_payment_method": card}
            more = {"payment_method": card, "invoice_settings": default}
        return self.stripe().customers.create({"name": "Bright Smile", **more})

    def subscribe(self, customer: Any, price: Any, **more: Any) -> Any:
        """A subscription."""
        return self.stripe().subscriptions.create(
            {"customer": customer.id, "items": [{"price": price.id}], **more}
        )


@contextmanager
def running(data: Path | None = None) -> Iterator[World]:
    """A sandbox in a thread, so that the SDKs may block."""
    ready, worlds = threading.Event(), list[World]()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def main() -> None:
        async with serve(data) as (sandbox, url):
            world = World(sandbox, url)

            def note(exchange: Exchange, response: Response) -> None:
                world.replies.append(
                    (
                        exchange.vendor,
                        exchange.method,
                        exchange.path,
                        response.status_code,
                        bytes(response.body),
                    )
                )

            sandbox.on_reply = note
            worlds.append(world)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield worlds[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(60)
        loop.close()


# --- the vendors' own words -------------------------------------------------------------------


def specs() -> Path:
    """The folder with the vendors' OpenAPI files; skips where there is none, but fails in CI."""
    folder = Path(os.environ.get("VOICEFLEET_SPECS", _SPECS))
    if (folder / "stripe_spec3.json").exists():
        return folder
    words = f"no OpenAPI files of the vendors in {folder}: set VOICEFLEET_SPECS"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


def _nullable(keyword: str) -> Any:
    original = Draft4Validator.VALIDATORS[keyword]

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if instance is None and schema.get("nullable"):
            return
        yield from original(validator, value, instance, schema) or ()

    return check


def _properties(validator: Any, properties: Any, instance: Any, schema: Any) -> Any:
    """As usual, and what the vendor does not have is an error, too."""
    yield from Draft4Validator.VALIDATORS["properties"](validator, properties, instance, schema)
    if isinstance(instance, dict) and "additionalProperties" not in schema:
        for name in instance.keys() - properties.keys():
            yield ValidationError(f"{name!r} is not known to the vendor")


# OpenAPI 3.0: a draft-4 schema with `nullable`.
_Validator = extend(
    Draft4Validator,
    {**{k: _nullable(k) for k in ("type", "anyOf", "enum")}, "properties": _properties},
)


class Spec:
    """One OpenAPI file."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self.document: Any = (
            json.loads(text) if path.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
        )
        resource = DRAFT4.create_resource(self.document)
        self._registry = Registry().with_resource("urn:spec", resource)
        # Literal paths before templates: /v1/checkout/sessions is no /v1/checkout/{id}.
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path).replace(".", r"\.") + "$"), path)
            for path in sorted(self.document["paths"], key=lambda p: (p.count("{"), p))
        ]

    def operation(self, method: str, path: str) -> tuple[str, Any]:
        """The operation that a request is; fails where the vendor has none."""
        for pattern, template in self._paths:
            if pattern.match(path) and method.lower() in self.document["paths"][template]:
                return template, self.document["paths"][template][method.lower()]
        raise AssertionError(f"the vendor has no {method} {path}")

    def check(self, method: str, path: str, status: int, body: bytes) -> str:
        """The operation's name; fails with the first thing in which an answer is not of it."""
        template, operation = self.operation(method, path)
        key = str(status) if str(status) in operation["responses"] else "default"
        name = f"{method} {template}"
        if key not in operation["responses"]:
            assert status >= 400, f"{name}: the vendor does not answer {status}"
            return name
        if not operation["responses"][key].get("content"):
            assert body == b"", f"{name}: the vendor answers {status} without a body"
            return name
        escaped = template.replace("~", "~0").replace("/", "~1")
        escaped = escaped.replace("{", "%7B").replace("}", "%7D")
        where = (
            f"urn:spec#/paths/{escaped}/{method.lower()}/responses/{key}"
            "/content/application~1json/schema"
        )
        validator = _Validator({"$ref": where}, registry=self._registry)
        for error in validator.iter_errors(json.loads(body)):
            found = _deepest(error)
            raise AssertionError(f"{name} {status}: {found.json_path}: {found.message[:500]}")
        return name


def _deepest(error: ValidationError) -> ValidationError:
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    return error


@cache
def spec(name: str) -> Spec:
    """An OpenAPI file by its name; read once."""
    return Spec(specs() / name)


def spec_of(vendor: str, path: str) -> Spec:
    """The file that has the path."""
    if vendor == "stripe":
        return spec("stripe_spec3.json")
    old = path.startswith("/2010-04-01/")
    return spec("twilio_api_v2010.yaml" if old else "twilio_trunking_v1.yaml")


def check_replies(world: World) -> set[str]:
    """The operations that were asked for; fails where an answer is not the vendor's."""
    found, wrong = set(), dict[str, None]()
    for vendor, method, path, status, body in world.replies:
        # The vendors' files say nothing of server errors, nor of credentials and limits.
        if status < 500 and status not in (401, 429):
            try:
                found.add(spec_of(vendor, path).check(method, path, status, body))
            except AssertionError as error:
                wrong[str(error)] = None
    assert not wrong, "\n".join(wrong)
    return found
