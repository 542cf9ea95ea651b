"""Tokens with which a client's pod shows who it is: a JWT (RFC 7519), HS256, `sub` = client ID.

The operator makes them, the gateways and the portal check them. They name no time: the same key and
client give the same token for ever, so that a restart of the operator changes no pod. A new key
makes all of them void.
"""

from __future__ import annotations

import re

import jwt

PLATFORM = "platform"
"""The `sub` of the machine's owner, who may read the gateways' metrics."""
SUBJECT = re.compile(r"[a-z0-9](-?[a-z0-9]){0,62}")
"""What a client ID looks like; safe as the name of a file."""
_KEY_BYTES = 32
"""RFC 7518, section 3.2: as long as the hash at least."""
_LEEWAY = 10.0
"""Seconds that a client's clock may be ahead."""


class Unauthorized(Exception):
    """The token is not one of ours; the text never has any of it."""


def mint(key: str, client_id: str) -> str:
    """A client's token; raises ValueError for a short key or an ID of another shape."""
    _check_key(key)
    if not SUBJECT.fullmatch(client_id):
        raise ValueError("a client ID has small letters, digits and single hyphens, 63 at most")
    return jwt.encode({"sub": client_id}, key, algorithm="HS256")


def verify(key: str, token: str) -> str:
    """Whose token it is; raises `Unauthorized`, and ValueError for a short key."""
    _check_key(key)
    try:
        claims = jwt.decode(token, key, algorithms=["HS256"], options={"require": ["sub"]})
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"the token is not valid ({type(error).__name__})") from None
    subject: str = claims["sub"]
    if not SUBJECT.fullmatch(subject):
        raise Unauthorized("the token names no client")
    return subject


def bearer(key: str, authorization: str | None) -> str:
    """The client that an `Authorization` header (RFC 6750) names; raises `Unauthorized`."""
    return verify(key, _given(authorization))


def signer(key: str, authorization: str | None) -> str:
    """The client that has signed the token in such a header, with its own as the secret.

    LiveKit's SDKs do so when their API key (`iss`) is the client's ID; such a token expires
    (https://docs.livekit.io/home/get-started/authentication/). Raises `Unauthorized`.
    """
    token = _given(authorization)
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        if not (isinstance(issuer, str) and SUBJECT.fullmatch(issuer)):
            raise Unauthorized("the token names no client")
        own = mint(key, issuer)
        jwt.decode(token, own, ["HS256"], options={"require": ["exp"]}, leeway=_LEEWAY)
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"the token is not valid ({type(error).__name__})") from None
    return issuer


def _given(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("the header Authorization: Bearer <token> is missing")
    return token


def _check_key(key: str) -> None:
    if len(key.encode()) < _KEY_BYTES:
        raise ValueError(f"the key for tokens has less than {_KEY_BYTES} bytes")
