"""Tokens: who is let in, and that they do not change between restarts."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from voicefleet_api.tokens import Unauthorized, bearer, mint, signer, verify

pytestmark = pytest.mark.unit
KEY = "0123456789abcdef0123456789abcdef"


def test_a_token_names_its_client_and_is_always_the_same() -> None:
    assert verify(KEY, mint(KEY, "vc-one")) == "vc-one"
    # A pod's hash is made of it: another token for the same client would restart the pod.
    assert mint(KEY, "vc-one") == mint(KEY, "vc-one") != mint(KEY, "vc-two")


def _unsigned(client: str) -> str:
    def part(data: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': client})}."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        _unsigned("vc-one"),
        mint("another key that is long enough, too", "vc-one"),
        mint(KEY, "vc-one")[:-2],
        jwt.encode({"sub": "vc-one", "exp": time.time() - 1}, KEY, "HS256"),
        jwt.encode({"sub": "vc-one"}, KEY * 2, "HS512"),
        jwt.encode({}, KEY, "HS256"),
        jwt.encode({"sub": "../vc-two"}, KEY, "HS256"),
        jwt.encode({"sub": ""}, KEY, "HS256"),
    ],
)
def test_what_we_did_not_sign_as_we_do_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        verify(KEY, token)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize("header", [None, "", "Basic abc", mint(KEY, "vc-one")])
def test_another_authorization_is_none(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        bearer(KEY, header)
    assert bearer(KEY, f"bearer {mint(KEY, 'vc-one')}") == "vc-one"


def test_a_short_key_is_no_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        mint("secret", "vc-one")
    with pytest.raises(ValueError, match="small letters"):
        mint(KEY, "VC one")


def _signed(secret: str, **claims: object) -> str:
    """As LiveKit's SDKs sign."""
    now = int(time.time())
    return f"Bearer {jwt.encode({'iss': 'vc-one', 'nbf': now, 'exp': now + 60} | claims, secret)}"


def test_a_client_signs_with_its_token() -> None:
    assert signer(KEY, _signed(mint(KEY, "vc-one"))) == "vc-one"
    assert signer(KEY, _signed(mint(KEY, "vc-two"), iss="vc-two")) == "vc-two"
    # Its machine's clock is a little ahead.
    assert signer(KEY, _signed(mint(KEY, "vc-one"), nbf=int(time.time()) + 5)) == "vc-one"


@pytest.mark.parametrize(
    "header",
    [
        None,
        f"Bearer {mint(KEY, 'vc-one')}",
        f"Bearer {_unsigned('vc-one')}",
        "Bearer x.y.z",
        _signed(KEY),
        _signed(mint(KEY, "vc-two")),
        _signed(mint(KEY, "vc-one"), iss="vc-two"),
        _signed(mint(KEY, "vc-one"), iss=""),
        _signed(mint(KEY, "vc-one"), iss="../vc-one"),
        _signed(mint(KEY, "vc-one"), exp=time.time() - 60),
        _signed(mint(KEY, "vc-one"), nbf=time.time() + 60),
        f"Bearer {jwt.encode({'iss': 'vc-one'}, mint(KEY, 'vc-one'))}",
    ],
)
def test_what_a_client_has_not_signed_itself_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorized) as refused:
        signer(KEY, header)
    assert not header or header.removeprefix("Bearer ") not in str(refused.value)
