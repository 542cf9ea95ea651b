"""Stripe's requests: who asks, which endpoint, idempotency keys, expansion.

Idempotency as Stripe words it (https://docs.stripe.com/api/idempotent_requests): the first answer
under a key, failures included, is kept and repeated for 24 hours; other parameters under the same
key are an error; what fails validation before the endpoint begins, or is throttled, is not kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from voicefleet_sandbox.store import Store
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.operations import OPERATIONS
from voicefleet_sandbox.stripe.parameters import check_parameters
from voicefleet_sandbox.stripe.wire import Params, StripeError, fingerprint

_ROUTES = [
    (operation, re.compile("^" + re.sub(r"\{[^}]+\}", "([^/]+)", operation) + "$"))
    for operation in OPERATIONS
]
_EXPANDABLE = {
    "latest_invoice": "invoice",
    "invoice": "invoice",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "subscription": "subscription",
    "product": "product",
}


@dataclass
class Call:
    """One request, as far as Stripe is concerned."""

    method: str
    path: str
    params: Params
    base_url: str
    """Where the sandbox itself is reached, for links to pay by."""
    key: str | None = None
    """Its idempotency key; only POST has one."""


@dataclass
class Reply:
    """What Stripe says."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    first: bool = False
    """Whether this request, and no earlier one, was carried out."""


def find_operation(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The operation of a request, and the ids in its path; raises Stripe's 404."""
    for operation, pattern in _ROUTES:
        match = pattern.match(f"{method} {path}")
        if match:
            return operation, match.groups()
    raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404, executed=False)


def authenticate(authorization: str | None) -> str:
    """The account behind a key (Bearer, or the user of Basic); raises Stripe's 401."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme == "Basic":
        try:
            key = base64.b64decode(key).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key.startswith(("sk_test_", "rk_test_")) or key[3:].startswith("test_invalid"):
        shown = f"{key[:8]}****" if key else "(none)"
        live = " The sandbox takes test keys only." if "_live_" in key else ""
        raise StripeError(f"Invalid API Key provided: {shown}.{live}", status=401, executed=False)
    return "acct_" + hashlib.sha256(key.encode()).hexdigest()[:16]


class Api:
    """Carries requests out, each under its key once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: set[tuple[str, str]] = set()

    def begin(self, account: str, key: str | None) -> None:
        """The request is under way and not carried out yet; raises Stripe's 409 for a second."""
        if key is None:
            return
        if (account, key) in self._in_flight:
            raise StripeError(
                "There is currently another in-progress request using this idempotent key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {key}.",
                status=409,
                type_="idempotency_error",
                code="idempotency_key_in_use",
                executed=False,
            )
        self._in_flight.add((account, key))

    def finish(self, account: str, key: str | None) -> None:
        """It has been carried out, or never will be."""
        self._in_flight.discard((account, key or ""))

    def handle(self, account: str, call: Call) -> Reply:
        """Carry a request out, or repeat what was answered under its key."""
        print_ = fingerprint(call.method, call.path, call.params)
        before = self._store.recall(account, call.key) if call.key else None
        if before is not None:
            if before["request"] != print_:
                return refusal(
                    StripeError(
                        "Keys for idempotent requests can only be used with the same parameters"
                        f" they were first used with. Try using a key other than '{call.key}' if"
                        " you meant to execute a different request.",
                        type_="idempotency_error",
                    )
                )
            return Reply(before["status"], before["body"], {"Idempotent-Replayed": "true"})
        try:
            return self._execute(account, call, print_)
        except StripeError as error:
            reply = refusal(error)
            if call.key and error.executed:
                with self._store.transaction():
                    self._store.remember(account, call.key, print_, reply.status, reply.body)
            return reply

    def _execute(self, account: str, call: Call, print_: str) -> Reply:
        operation, ids = find_operation(call.method, call.path)
        check_parameters(operation, call.params)
        params = {name: value for name, value in call.params.items() if name != "expand"}
        ctx = Context(self._store, account, params, call.base_url)
        with self._store.transaction():
            document = OPERATIONS[operation][0](ctx, *ids)
            for path in call.params.get("expand", []):
                _expand(ctx, document, path.split("."), path)
            body = json.dumps(document)
            if call.key:
                self._store.remember(account, call.key, print_, 200, body)
        return Reply(200, body, first=True)

    def fail_after(self, account: str, call: Call, error: StripeError) -> None:
        """Stripe failed after it had carried the request out: the failure is kept, too."""
        if call.key:
            print_ = fingerprint(call.method, call.path, call.params)
            with self._store.transaction():
                self._store.remember(
                    account, call.key, print_, error.status, json.dumps(error.body)
                )


def refusal(error: StripeError) -> Reply:
    """The reply that an error is."""
    headers = {"Stripe-Should-Retry": "true"} if error.status == 409 else {}
    return Reply(error.status, json.dumps(error.body), headers)


def _expand(ctx: Context, here: Any, path: list[str], whole: str) -> None:
    if isinstance(here, list):
        for item in here:
            _expand(ctx, item, path, whole)
        return
    if not isinstance(here, dict) or path[0] not in here:
        raise StripeError(f"This property cannot be expanded ({whole}).", param="expand")
    name, rest = path[0], path[1:]
    value = here[name]
    if isinstance(value, str):
        if name not in _EXPANDABLE:
            raise StripeError(f"This property cannot be expanded ({whole}).", param="expand")
        here[name] = value = ctx.get(_EXPANDABLE[name], value)
    if rest and value is not None:
        _expand(ctx, value, rest, whole)
