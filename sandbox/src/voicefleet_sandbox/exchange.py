"""One request to a vendor and its answer, in the vendor's own words."""

from __future__ import annotations

import json
import threading
from typing import Any, Protocol

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from voicefleet_sandbox.elevenlabs import api as elevenlabs_api
from voicefleet_sandbox.elevenlabs import speech
from voicefleet_sandbox.elevenlabs.api import ElevenLabsError, Upload
from voicefleet_sandbox.faults import Rule
from voicefleet_sandbox.store import Store, new_id
from voicefleet_sandbox.stripe.api import Api, Call, Reply, authenticate, refusal
from voicefleet_sandbox.stripe.wire import StripeError, parse_form
from voicefleet_sandbox.twilio import api as twilio_api
from voicefleet_sandbox.twilio.wire import TwilioError

Pairs = list[tuple[str, str]]


class Exchange(Protocol):
    """What faults need to know of a request."""

    vendor: str
    method: str
    path: str
    """As the vendor sees it: `/v1/…`, `/2010-04-01/…`."""
    pairs: Pairs
    key: str | None
    """Idempotency key."""

    def begin(self) -> Response | None:
        """The vendor takes it up; an answer if it refuses to."""

    def execute(self) -> Response:
        """Carry it out."""

    def finish(self) -> None:
        """It is not under way any more."""

    def refuse(self, rule: Rule, *, done: bool) -> Response:
        """The failure that a rule asks for; `done`: after it was carried out."""


class StripeExchange:
    """A request to Stripe."""

    vendor = "stripe"

    def __init__(self, api: Api, request: Request, pairs: Pairs, base_url: str) -> None:
        self._api, self._base_url = api, base_url
        self.method, self.path = request.method, "/" + request.path_params["path"]
        self.pairs = pairs
        key = request.headers.get("idempotency-key")
        self.key = key if self.method == "POST" else None
        self._authorization = request.headers.get("authorization")
        self._account = ""
        self._call: Call | None = None
        self._first = self._began = False

    def begin(self) -> Response | None:
        """Who asks, and whether the same is under way already."""
        try:
            self._account = authenticate(self._authorization)
            params = parse_form(self.pairs)
            self._call = Call(self.method, self.path, params, self._base_url, self.key)
            self._api.begin(self._account, self.key)
        except StripeError as error:
            return self._response(refusal(error))
        self._began = True
        return None

    def execute(self) -> Response:
        """Carry it out, or repeat what was answered under its key."""
        assert self._call is not None
        reply = self._api.handle(self._account, self._call)
        self._first = reply.first
        return self._response(reply)

    def finish(self) -> None:
        """Others may use the key from now on."""
        if self._began:
            self._api.finish(self._account, self.key)
            self._began = False

    def refuse(self, rule: Rule, *, done: bool) -> Response:
        """429, or a server error that is kept under the key if the request was carried out."""
        if rule.kind == "throttle":
            reply = refusal(
                StripeError("Request rate limit exceeded.", status=429, code="rate_limit")
            )
            reply.headers["Retry-After"] = f"{rule.retry_after:g}"
            return self._response(reply)
        error = StripeError("An unknown error occurred", status=rule.status, type_="api_error")
        if done and self._first and self._call is not None:
            self._api.fail_after(self._account, self._call, error)
        return self._response(refusal(error))

    def _response(self, reply: Reply) -> Response:
        headers = {
            "Request-Id": new_id("req_", 14), "Content-Type": "application/json", **reply.headers,
        }  # fmt: skip
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        return Response(reply.body, reply.status, headers)


class TwilioExchange:
    """A request to Twilio, which knows no idempotency keys."""

    vendor = "twilio"
    key: str | None = None

    def __init__(self, store: Store, request: Request, pairs: Pairs) -> None:
        self._store = store
        self.method, self.path = request.method, "/" + request.path_params["path"]
        self.pairs = pairs
        self._authorization = request.headers.get("authorization")

    def begin(self) -> Response | None:
        """Nothing is refused before it is carried out."""
        return None

    def execute(self) -> Response:
        """Carry it out."""
        try:
            user = twilio_api.authenticate(self._store, self._authorization)
            status, body = twilio_api.handle(
                self._store, user, self.method, self.path, dict(self.pairs)
            )
        except TwilioError as error:
            return self._error(error)
        return self._response(status, body)

    def finish(self) -> None:
        """Nothing is held."""

    def refuse(self, rule: Rule, *, done: bool) -> Response:
        """429, or a server error."""
        if rule.kind == "throttle":
            response = self._error(TwilioError(429, 20429, "Too many requests"))
            response.headers["Retry-After"] = f"{rule.retry_after:g}"
            return response
        return self._error(TwilioError(rule.status, 20500, "Internal Server Error"))

    def _error(self, error: TwilioError) -> Response:
        return self._response(error.status, json.dumps(error.body))

    def _response(self, status: int, body: str) -> Response:
        headers = {"Content-Type": "application/json", "Twilio-Request-Id": new_id("RQ", 32)}
        return Response(body, status, headers)


class ElevenLabsExchange:
    """A request to ElevenLabs, which knows no idempotency keys either."""

    vendor = "elevenlabs"
    key: str | None = None

    def __init__(
        self, store: Store, request: Request, body: dict[str, Any], files: tuple[Upload, ...]
    ) -> None:
        self._store = store
        self.method, self.path = request.method, request.url.path.removeprefix("/elevenlabs")
        self.pairs = [(name, str(value)) for name, value in body.items()]
        self._secret = request.headers.get("xi-api-key")
        self._call = elevenlabs_api.Call(self.method, self.path, request.query_params, body, files)

    @classmethod
    async def of(cls, store: Store, request: Request) -> ElevenLabsExchange:
        """The request, once its form or its JSON has arrived."""
        if request.headers.get("content-type", "").startswith("application/json"):
            return cls(store, request, await request.json(), ())
        body: dict[str, Any] = {}
        files = []
        async with request.form() as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    media_type = value.content_type or ""
                    files.append(Upload(value.filename or "", media_type, await value.read()))
                else:
                    body[name] = value
        return cls(store, request, body, tuple(files))

    def begin(self) -> Response | None:
        """Nothing is refused before it is carried out."""
        return None

    def execute(self) -> Response:
        """Carry it out."""
        try:
            answer = elevenlabs_api.handle(self._store, self._secret, self._call)
        except ElevenLabsError as error:
            return self._error(error)
        if isinstance(answer, elevenlabs_api.Speech):
            sound = speech.speak(answer.text, answer.rate, answer.voice)
            return StreamingResponse(sound, media_type="audio/pcm")
        if self._call.files:
            # Who makes a voice will have it speak: the first caller need not wait for the model.
            threading.Thread(target=speech.load, daemon=True).start()
        return Response(json.dumps(answer), media_type="application/json")

    def finish(self) -> None:
        """Nothing is held."""

    def refuse(self, rule: Rule, *, done: bool) -> Response:
        """429, or a server error."""
        if rule.kind == "throttle":
            response = self._error(ElevenLabsError(429, "system_busy", "Too many requests"))
            response.headers["Retry-After"] = f"{rule.retry_after:g}"
            return response
        return self._error(ElevenLabsError(rule.status, "internal_error", "Internal error"))

    def _error(self, error: ElevenLabsError) -> Response:
        return Response(error.body, error.http_status, media_type="application/json")
