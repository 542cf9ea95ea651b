"""Calls out over a customer's trunk: the carrier lets out who signs in, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.carrier.exchange import OWNER, Exchange, Url
from support.sipp import call_out

pytestmark = pytest.mark.integration

USER, PASSWORD = "fleet", "LongEnough1234"


@pytest.fixture
def number(line: Exchange) -> str:
    """On a trunk that the user may call out over."""
    made = line.number(Url(line.one))
    line.let_out(made, USER, PASSWORD)
    return made


@pytest.mark.parametrize(
    ("login", "status"),
    [
        ((USER, PASSWORD), 404),  # let out: the owner's phone is not there
        ((USER, "WrongPassword1"), 403),
        (("stranger", PASSWORD), 403),
    ],
)
def test_who_does_not_sign_in_as_the_trunk_s_user_is_refused(
    line: Exchange, number: str, tmp_path: Path, login: tuple[str, str], status: int
) -> None:
    call_out(line.one, tmp_path, line.edge, OWNER, caller=number, login=login, status=status)


def test_another_trunk_s_user_is_a_stranger(line: Exchange, number: str, tmp_path: Path) -> None:
    other = line.number(Url(line.two))
    line.let_out(other, "other", PASSWORD)
    login = (USER, PASSWORD)
    call_out(line.one, tmp_path, line.edge, OWNER, caller=other, login=login, status=403)


def test_over_a_trunk_without_a_list_nobody_calls_out(line: Exchange, tmp_path: Path) -> None:
    number = line.number(Url(line.one))
    call_out(line.one, tmp_path, line.edge, OWNER, caller=number, status=403)
