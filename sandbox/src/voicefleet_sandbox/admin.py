"""The sandbox's own side: ledger, faults, request log, stock, clock, routes, and the pay page."""

from __future__ import annotations

import random
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from voicefleet_sandbox import mail
from voicefleet_sandbox.carrier import routing, termination
from voicefleet_sandbox.faults import BadRule, Faults
from voicefleet_sandbox.store import Store
from voicefleet_sandbox.stripe import checkout, invoices
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.wire import StripeError
from voicefleet_sandbox.twilio import numbers
from voicefleet_sandbox.twilio.voice import Voice
from voicefleet_sandbox.webhooks import Webhooks

_PAGE = """<!doctype html><meta charset="utf-8"><title>Sandbox Checkout</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.5 system-ui;max-width:28rem;margin:4rem auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.4rem;margin-right:.6rem}}</style>
<h1>Sandbox Checkout</h1><p>No money moves here.</p>{body}"""


class Admin:
    """Handlers of `/_sandbox` and `/checkout`."""

    def __init__(
        self,
        store: Store,
        faults: Faults,
        webhooks: Webhooks,
        voice: Voice,
        pass_time: Callable[[], None],
    ) -> None:
        self._store = store
        self._voice = voice
        self._pass_time = pass_time
        self._faults = faults
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Where each handler is reached."""
        return [
            Route("/_sandbox/health", self.health),
            Route("/_sandbox/ledger", self.ledger),
            Route("/_sandbox/requests", self.requests),
            Route("/_sandbox/faults", self.list_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/_sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/_sandbox/faults/{id:int}", self.clear_faults, methods=["DELETE"]),
            Route("/_sandbox/reset", self.reset, methods=["POST"]),
            Route("/_sandbox/inventory", self.inventory, methods=["GET", "POST"]),
            Route("/_sandbox/clock", self.clock, methods=["POST"]),
            Route("/_sandbox/route", self.route),
            Route("/_sandbox/carrier/{number}", self.carrier),
            Route("/_sandbox/voice/{number}", self.voice, methods=["POST"]),
            Route("/_sandbox/mail", self.mail),
            Route("/checkout/{session}", self.checkout_page, methods=["GET"]),
            Route("/checkout/{session}", self.checkout_pay, methods=["POST"]),
            Route("/invoice/{invoice}", self.invoice_page, methods=["GET"]),
            Route("/invoice/{invoice}", self.invoice_pay, methods=["POST"]),
        ]

    async def health(self, _: Request) -> Response:
        """Whether it is there."""
        return JSONResponse({"status": "ok"})

    async def ledger(self, request: Request) -> Response:
        """Everything bought, released, charged and refunded; `?open=true`: what is bought now."""
        only_open = request.query_params.get("open") == "true"
        vendor = request.query_params.get("vendor")
        return JSONResponse(self._store.ledger(vendor=vendor, only_open=only_open))

    async def mail(self, _: Request) -> Response:
        """Mails that came."""
        return JSONResponse(mail.received(self._store))

    async def requests(self, request: Request) -> Response:
        """The request log after `?since=`."""
        return JSONResponse(self._store.requests(int(request.query_params.get("since", 0))))

    async def list_faults(self, _: Request) -> Response:
        """Rules in force, and requests whose reply a `pause` holds."""
        return JSONResponse(self._faults.to_json())

    async def add_fault(self, request: Request) -> Response:
        """Put a rule in force."""
        try:
            rule = self._faults.add(await request.json())
        except BadRule as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(rule.to_json(), 201)

    async def clear_faults(self, request: Request) -> Response:
        """Take rules back."""
        self._faults.clear(request.path_params.get("id"))
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        """Forget everything."""
        self._faults.clear()
        self._store.reset()
        return Response(status_code=204)

    async def inventory(self, request: Request) -> Response:
        """How many numbers each area code has: `{"415": 10}`.

        `cooldownSeconds`: until a number that was released is for sale again.
        """
        if request.method == "POST":
            changes = await request.json()
            with self._store.transaction():
                if "cooldownSeconds" in changes:
                    numbers.set_cooldown(self._store, changes.pop("cooldownSeconds"))
                try:
                    numbers.set_stock(self._store, changes)
                except (TypeError, ValueError) as error:
                    return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(
            {**numbers.stock(self._store), "cooldownSeconds": numbers.cooldown(self._store)}
        )

    async def clock(self, request: Request) -> Response:
        """Move time forward (`{"advanceSeconds": 86400}`): what falls due on the way happens."""
        seconds = float((await request.json())["advanceSeconds"])
        if seconds < 0:
            return JSONResponse({"error": "time does not go back"}, 400)
        with self._store.transaction():
            self._store.advance(seconds)
        self._pass_time()
        return JSONResponse({"now": self._store.now()})

    async def route(self, request: Request) -> Response:
        """What the carrier would do with a call to `?number=` now."""
        number = request.query_params.get("number", "")
        found = routing.route(self._store, number)
        if found is None:
            return JSONResponse({"error": f"nobody has {number}"}, 404)
        return JSONResponse(found)

    async def carrier(self, request: Request) -> Response:
        """What one call to a number tries, for the carrier's SIP edge; 401 where it has to sign in.

        `?caller=` is the number that it shows, `user=` as whom it has signed in. First of all how
        its sound has to be sent (`routing.sound`).
        """
        trunk = termination.trunk_of(self._store, request.query_params.get("caller", ""))
        if trunk is not None:
            known = termination.ha1(self._store, trunk, request.query_params.get("user", ""))
            if known is None:
                return JSONResponse({"error": "the trunk has no credential list"}, 403)
            return PlainTextResponse(f"{routing.sound(trunk['secure'])}|{known}", 401)
        number = request.path_params["number"]
        found = routing.route(self._store, number)
        uris = routing.attempts(found, random.SystemRandom()) if found else []
        if not found or not uris:
            return JSONResponse({"error": f"calls to {number} lead nowhere"}, 404)
        return PlainTextResponse("|".join([routing.sound(found["secure"]), *uris]))

    async def voice(self, request: Request) -> Response:
        """What a call by instructions does next: `{"call": {"From": …}, "action": null}`."""
        asked = await request.json()
        number = request.path_params["number"]
        return JSONResponse(await self._voice.next(number, asked["call"], asked["action"]))

    # --- paying ---------------------------------------------------------------------------

    def _context(self, account: str, request: Request) -> Context:
        return Context(self._store, account, {}, str(request.base_url).rstrip("/"))

    async def checkout_page(self, request: Request) -> Response:
        """The page that a payer sees."""
        id_ = request.path_params["session"]
        self._pass_time()
        account = self._store.owner("stripe", "checkout.session", id_)
        if account is None:
            return HTMLResponse(_PAGE.format(body="<p>There is no such session.</p>"), 404)
        doc = checkout.get_session(self._context(account, request), id_)
        amount = f"{doc['amount_total'] / 100:.2f} {doc['currency'].upper()} a month"
        if doc["status"] != "open":
            return HTMLResponse(_PAGE.format(body=f"<p>This session is {doc['status']}.</p>"))
        body = (
            f"<p><b>{amount}</b></p><form method=post><button name=pay value=yes>Pay</button>"
            "<button name=pay value=no>Decline</button></form>"
        )
        return HTMLResponse(_PAGE.format(body=body))

    async def checkout_pay(self, request: Request) -> Response:
        """The payer has pressed a button (or a test has)."""
        id_ = request.path_params["session"]
        self._pass_time()
        account = self._store.owner("stripe", "checkout.session", id_)
        if account is None:
            return JSONResponse({"error": "no such session"}, 404)
        form = await request.form()
        if form.get("pay") == "no":
            return HTMLResponse(_PAGE.format(body="<p>The card was declined.</p>"), 402)
        context = self._context(account, request)
        try:
            with self._store.transaction():
                checkout.complete(context, id_)
        except StripeError as error:
            return HTMLResponse(_PAGE.format(body=f"<p>{error}</p>"), 400)
        self._webhooks.poke()
        return HTMLResponse(_PAGE.format(body="<p>Paid. Thank you.</p>"))

    async def invoice_page(self, request: Request) -> Response:
        """An invoice as the client sees it."""
        id_ = request.path_params["invoice"]
        account = self._store.owner("stripe", "invoice", id_)
        if account is None:
            return HTMLResponse(_PAGE.format(body="<p>There is no such invoice.</p>"), 404)
        doc = invoices.get_invoice(self._context(account, request), id_)
        amount = f"{doc['amount_due'] / 100:.2f} {doc['currency'].upper()}"
        pay = "<form method=post><button>Pay</button></form>" if doc["status"] == "open" else ""
        return HTMLResponse(_PAGE.format(body=f"<p><b>{amount}</b>, {doc['status']}</p>{pay}"))

    async def invoice_pay(self, request: Request) -> Response:
        """Pay an open invoice, as a client by bank transfer would."""
        id_ = request.path_params["invoice"]
        account = self._store.owner("stripe", "invoice", id_)
        if account is None:
            return JSONResponse({"error": "no such invoice"}, 404)
        context = self._context(account, request)
        context.params["paid_out_of_band"] = "true"
        try:
            with self._store.transaction():
                doc = invoices.pay_invoice(context, id_)
        except StripeError as error:
            return JSONResponse(error.body, error.status)
        self._webhooks.poke()
        return JSONResponse({"id": doc["id"], "status": doc["status"]})
