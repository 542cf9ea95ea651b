"""The sandbox as a process: killed, started again, and started twice."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from support.ports import free_port

pytestmark = pytest.mark.integration

KEY = {"Authorization": "Bearer sk_test_process"}
ACCOUNT = "AC" + "1" * 32
BUY = f"/twilio/api/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"


@contextmanager
def process(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`python -m voicefleet_sandbox`, and a client of it."""
    port = free_port()
    argv = [sys.executable, "-m", "voicefleet_sandbox", "--port", str(port), "--data", str(data)]
    running = subprocess.Popen([*argv, *options])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                client.get("/_sandbox/health")
                break
            except httpx.TransportError:
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield running, client
    finally:
        client.close()
        running.kill()
        running.wait(60)


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "sandbox.sqlite"
    with process(data) as (running, client):
        customer = client.post(
            "/stripe/v1/customers", data={"name": "A"}, headers={**KEY, "Idempotency-Key": "k"}
        ).json()
        auth = (ACCOUNT, "token")
        numbers = [
            client.post(BUY, data={"AreaCode": "415"}, auth=auth).json()["sid"] for _ in range(20)
        ]
        client.post("/_sandbox/clock", json={"advanceSeconds": 1000})
        ledger = client.get("/_sandbox/ledger").json()
        running.kill()
    with process(data) as (_, client):
        assert client.get(f"/stripe/v1/customers/{customer['id']}", headers=KEY).json() == customer
        again = client.post(
            "/stripe/v1/customers", data={"name": "A"}, headers={**KEY, "Idempotency-Key": "k"}
        )
        assert (again.json(), again.headers["idempotent-replayed"]) == (customer, "true")
        assert client.get("/_sandbox/ledger").json() == ledger
        held = client.get(BUY, auth=auth).json()["incoming_phone_numbers"]
        assert [n["sid"] for n in held] == numbers[::-1]
        ahead = client.post("/_sandbox/clock", json={"advanceSeconds": 0}).json()["now"]
        assert ahead - time.time() == pytest.approx(1000, abs=5)


def test_killed_while_the_reply_is_held(tmp_path: Path) -> None:
    data = tmp_path / "sandbox.sqlite"
    with process(data) as (running, client):
        client.post("/_sandbox/faults", json={"kind": "pause", "vendor": "twilio"})
        with pytest.raises(httpx.ReadTimeout):
            client.post(BUY, data={"AreaCode": "415"}, auth=(ACCOUNT, "token"), timeout=1)
        running.kill()
    with process(data) as (_, client):
        [entry] = client.get("/_sandbox/ledger", params={"open": "true"}).json()
        assert entry["kind"] == "number.purchased"


def test_two_processes_on_one_file(tmp_path: Path) -> None:
    data = tmp_path / "sandbox.sqlite"
    with process(data):
        argv = [sys.executable, "-m", "voicefleet_sandbox", "--port", str(free_port())]
        second = subprocess.run([*argv, "--data", str(data)], capture_output=True, timeout=60)
    assert second.returncode == 1
    assert b"locked" in second.stderr
    assert b"Traceback" not in second.stderr


def test_help() -> None:
    argv = [sys.executable, "-m", "voicefleet_sandbox", "--help"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    for word in ("--port", "--data", "--host", "/stripe", "/twilio", "/_sandbox/ledger"):
        assert word in said


def test_mail_is_taken_and_kept(tmp_path: Path) -> None:
    smtp, data = free_port(), tmp_path / "sandbox.sqlite"
    for text in ("first: mañana", "second"):
        mail = EmailMessage()
        mail["Subject"], mail["Message-ID"] = text, f"<{text[:5]}@fleet.test>"
        mail.set_content(text)
        with process(data, f"--smtp-port={smtp}") as (_, client):
            with smtplib.SMTP("127.0.0.1", smtp, timeout=60) as server:
                server.send_message(mail, "a@fleet.test", ["owner@one.example"])
            found = client.get("/_sandbox/mail").json()
    assert {one["messageID"] for one in found} == {"<first@fleet.test>", "<secon@fleet.test>"}
    kept = next(one for one in found if one["subject"] == "first: mañana")
    assert (kept["from"], kept["to"]) == ("a@fleet.test", ["owner@one.example"])
    assert kept["text"].strip() == "first: mañana"
