"""What callers leave is mailed to the business: each message, whatever the mail server does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from support.agency import CAFE, declare
from support.controlplane import ControlPlane
from support.portal import portal, record
from support.ports import free_port
from voicefleet_api.calls import CallRecord, Message
from voicefleet_api.voiceclient import Retention
from voicefleet_portal.clients import Client, Unavailable
from voicefleet_portal.mail import MAX_AGE, Mailer, MailServer
from voicefleet_portal.store import Store

pytestmark = pytest.mark.integration
OWNER = "owner@one.example"


@dataclass
class Post:
    """A mail server; `says` are its next answers to a mail, then 250."""

    port: int = field(default_factory=free_port)
    says: list[str] = field(default_factory=list)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:  # noqa: N802
        answer = self.says.pop(0) if self.says else "250 OK"
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            made = message_from_bytes(content, policy=policy.default)
            assert isinstance(made, EmailMessage)
            self.mails.append((envelope.rcpt_tos, made))
        return answer

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(self, hostname="post", enable_SMTPUTF8=True, **options),
            "127.0.0.1",
            self.port,
        )
        try:
            yield
        finally:
            server.close()

    def file(self, folder: Path, user: str = "") -> Path:
        """With its address."""
        made = folder / "mail"
        made.write_text(f"smtp://{user}127.0.0.1:{self.port}?from=receptionist@fleet.example\n")
        return made


@dataclass
class Listed:
    """The clients of a cluster; None: it does not answer."""

    email: str | None = OWNER
    answers: bool = True

    async def clients(self) -> list[Client]:
        if not self.answers:
            raise Unavailable("no")
        zone = "America/New_York"
        return [
            Client(
                each, "default", each, "One, Two & Söhne", None, True, "", zone, None, self.email
            )
            for each in ("vc-one", "vc-two")
        ]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "calls")


def left(*texts: str, client: str = "vc-one", **changes: Any) -> CallRecord:
    """A call in which these messages were left."""
    messages = [Message(text=t, name="Anna Miller", phone="+14155550134", **changes) for t in texts]
    return record(client, messages=messages, called="+14155550100")


def mailer(store: Store, post: Post, folder: Path, listed: Listed | None = None) -> Mailer:
    made = Mailer(store, listed or Listed(), MailServer.read(post.file(folder)))
    for client_id in store.clients():
        made.wake(client_id)
    return made


def waiting(store: Store, call: CallRecord) -> int:
    return len(store.unsent(call.client_id, call.started))


async def test_a_message_says_who_called_when_and_what(
    store: Store, post: Post, tmp_path: Path
) -> None:
    call = left("Bring a\nlonger ladder, por favor: mañana", urgent=True)
    call.messages[0].name = "Anna\r\nBcc: evil@example.com"
    store.put(call)
    async with post.open():
        await mailer(store, post, tmp_path).deliver(call.started)
    [(to, mail)] = post.mails
    assert to == [OWNER]
    assert mail["Message-ID"] == f"<{call.call_id}.0@fleet.example>"
    assert mail["Subject"] == "Urgent message from Anna Bcc: evil@example.com"
    assert mail["Bcc"] is None
    assert (mail["Importance"], mail["Auto-Submitted"]) == ("high", "auto-generated")
    assert mail["From"].addresses[0].display_name == "One, Two & Söhne (receptionist)"
    text = mail.get_content().replace("\r\n", "\n")
    assert text.startswith("Bring a\nlonger ladder, por favor: mañana\n")
    assert "+14155550134" in text
    assert "Monday, 2026-03-02 13:04 (America/New_York), to +14155550100" in text


async def test_each_message_once_however_often_the_call_comes(
    store: Store, post: Post, tmp_path: Path
) -> None:
    call = left("one", "two")
    async with post.open():
        for _ in range(3):
            store.put(call)
            await mailer(store, post, tmp_path).deliver(call.started)
        # A longer record of the same call, with one more.
        call.messages += left("three").messages
        call.duration_seconds += 1
        store.put(call)
        await mailer(store, post, tmp_path).deliver(call.started)
    assert [mail.get_content().split()[0] for _, mail in post.mails] == ["one", "two", "three"]
    assert len({mail["Message-ID"] for _, mail in post.mails}) == 3


async def test_what_a_dead_server_missed_comes_when_it_lives(
    store: Store, post: Post, tmp_path: Path
) -> None:
    first, second = left("one"), left("two", client="vc-two")
    store.put(first)
    store.put(second)
    sending = mailer(store, post, tmp_path)
    await sending.deliver(first.started)
    assert (waiting(store, first), waiting(store, second)) == (1, 1)
    async with post.open():
        await sending.deliver(first.started)
    assert sorted(mail.get_content().split()[0] for _, mail in post.mails) == ["one", "two"]
    assert (waiting(store, first), waiting(store, second)) == (0, 0)


async def test_one_client_s_refusal_holds_up_nobody(
    store: Store, post: Post, tmp_path: Path
) -> None:
    first, second = left("one"), left("two", client="vc-two")
    store.put(first)
    store.put(second)
    post.says = ["550 no such mailbox"]
    sending = mailer(store, post, tmp_path)
    async with post.open():
        await sending.deliver(first.started)
        assert [mail.get_content().split()[0] for _, mail in post.mails] == ["two"]
        assert waiting(store, first) == 1
        await sending.deliver(first.started)
    assert waiting(store, first) == 0


async def test_a_reply_that_is_lost_repeats_the_message_under_one_id(
    store: Store, post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail server has taken it, and that cannot be noted."""
    call = left("one")
    store.put(call)
    async with post.open():
        with monkeypatch.context() as broken:
            broken.setattr(Store, "sent", _full)
            await mailer(store, post, tmp_path).deliver(call.started)
        await mailer(store, post, tmp_path).deliver(call.started)
    assert len(post.mails) == 2
    assert len({mail["Message-ID"] for _, mail in post.mails}) == 1


def _full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("listed", [Listed(email=None), Listed(answers=False)])
async def test_nobody_to_mail_to_is_no_failure(
    store: Store, post: Post, tmp_path: Path, listed: Listed
) -> None:
    call = left("one")
    store.put(call)
    async with post.open():
        sending = mailer(store, post, tmp_path, listed)
        await sending.deliver(call.started)
        assert post.mails == []
        listed.email, listed.answers = OWNER, True
        sending.wake("vc-one")
        await sending.deliver(call.started)
    assert len(post.mails) == 1


async def test_old_messages_are_no_news_and_go_with_their_call(
    store: Store, post: Post, tmp_path: Path
) -> None:
    call = left("one")
    store.put(call)
    async with post.open():
        await mailer(store, post, tmp_path).deliver(call.started + MAX_AGE + timedelta(minutes=1))
    assert post.mails == []
    assert waiting(store, call) == 1
    store.forget("vc-one", Retention(records_days=1), call.started + timedelta(days=2))
    with store._open("vc-one") as file:
        assert file.execute("SELECT count(*) FROM mail").fetchone() == (0,)


async def test_a_password_is_sent_over_tls_alone(store: Store, post: Post, tmp_path: Path) -> None:
    given: list[object] = []

    def authenticate(*args: object) -> AuthResult:
        given.append(args)
        return AuthResult(success=True)

    call = left("one")
    store.put(call)
    server = MailServer.read(post.file(tmp_path, user="user:secret@"))
    assert "secret" not in repr(server)
    sending = Mailer(store, Listed(), server)
    sending.wake("vc-one")
    async with post.open(authenticator=authenticate, auth_require_tls=False):
        await sending.deliver(call.started)
    assert (given, post.mails, waiting(store, call)) == ([], [], 1)


@pytest.mark.parametrize("text", ["", "mail.example", "http://a:1?from=a@b", "smtp://a:1?from=a"])
def test_an_address_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mail"
    file.write_text(text)
    with pytest.raises(ValueError, match="is expected"):
        MailServer.read(file)


async def test_the_portal_does_it_by_itself(
    plane: ControlPlane, post: Post, tmp_path: Path
) -> None:
    """From the pod's record to the mailbox of the client's business."""
    kubeconfig = declare(plane)
    address = json.dumps({"spec": {"business": {"email": "owner@cafe.example"}}})
    plane.kubectl("patch", "vc", "cafe", "--type=merge", f"--patch={address}")
    call = left("one", client=CAFE).model_copy(update={"started": datetime.now(UTC)})
    async with (
        post.open(),
        portal(tmp_path, kubeconfig=kubeconfig, mail=post.file(tmp_path)) as running,
    ):
        assert (await running.put(call)).status_code == 200
        for _ in range(600):
            if post.mails:
                break
            await asyncio.sleep(0.1)
    assert [to for to, _ in post.mails] == [["owner@cafe.example"]]
