"""Mails to the business what callers leave for it: each message at least once.

What is not sent yet stands in the client's own file. A message's Message-ID never changes, so that
one that is sent twice is recognised as the same (RFC 5322, section 3.6.4).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import smtplib
import sqlite3
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool

from voicefleet_api.calls import CallRecord
from voicefleet_portal.clients import Client, Directory, Unavailable
from voicefleet_portal.store import Store

logger = logging.getLogger("voicefleet.portal")
RETRY_SECONDS = 30.0
MAX_AGE = timedelta(days=7)
"""Of a message that is still mailed: older ones are no news, and are read in the portal."""
_TIMEOUT = 10.0
_REFUSED = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPSenderRefused,
    smtplib.SMTPDataError,
    smtplib.SMTPNotSupportedError,
)


@dataclass(frozen=True)
class MailServer:
    """Who takes mail from us."""

    host: str
    port: int
    sender: str
    tls: bool
    """From the first byte; else STARTTLS where it is offered, and always before a password."""
    username: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """From its address in a file: `smtps://user:password@host:465?from=a@fleet.example`.

        Raises OSError, and ValueError, whose text has nothing of the file.
        """
        url = urlsplit(file.read_text().strip())
        sender = parse_qs(url.query).get("from", [""])[0]
        if url.scheme not in ("smtp", "smtps") or not url.hostname or "@" not in sender:
            raise ValueError(
                f"{file}: smtp[s]://[user:password@]host:port?from=address is expected"
            )
        tls = url.scheme == "smtps"
        port = url.port or (465 if tls else 587)
        username, password = unquote(url.username or ""), unquote(url.password or "")
        return cls(url.hostname, port, sender, tls, username, password)

    @contextlib.contextmanager
    def connect(self) -> Iterator[smtplib.SMTP]:
        """Raises OSError, smtplib.SMTPException."""
        kind = smtplib.SMTP_SSL if self.tls else smtplib.SMTP
        with kind(self.host, self.port, timeout=_TIMEOUT) as smtp:
            smtp.ehlo()
            if not self.tls and (self.username or smtp.has_extn("starttls")):
                smtp.starttls(context=ssl.create_default_context())
            if self.username:
                smtp.login(self.username, self.password)
            yield smtp


class Mailer:
    """Sends what waits, and looks again while something does."""

    def __init__(self, store: Store, directory: Directory, server: MailServer) -> None:
        self._store = store
        self._directory = directory
        self._server = server
        self._waiting: set[str] = set()
        self._woken = asyncio.Event()

    def wake(self, client_id: str) -> None:
        """A call of that client's was kept."""
        self._waiting.add(client_id)
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._waiting.update(await run_in_threadpool(self._store.clients))
        while True:
            self._woken.clear()
            await self.deliver(datetime.now(UTC))
            with contextlib.suppress(TimeoutError):
                pause = RETRY_SECONDS if self._waiting else None
                await asyncio.wait_for(self._woken.wait(), pause)

    async def deliver(self, now: datetime) -> None:
        """Once through all clients of whom something may wait; what fails waits on."""
        try:
            known = {client.client_id: client for client in await self._directory.clients()}
        except Unavailable:
            return
        asked = [known[each] for each in sorted(self._waiting) if each in known]
        self._waiting.clear()
        try:
            self._waiting |= await run_in_threadpool(self._deliver, asked, now - MAX_AGE)
        except Exception as error:
            # Whatever it is, as a rule that nobody answers there: it is tried again.
            logger.error("messages not mailed", extra={"error": type(error).__name__})
            self._waiting.update(client.client_id for client in asked)

    def _deliver(self, clients: Sequence[Client], since: datetime) -> set[str]:
        """The clients of whom something was refused."""
        refused: set[str] = set()
        with contextlib.ExitStack() as stack:
            smtp: smtplib.SMTP | None = None
            for client in clients:
                try:
                    for call, number in self._store.unsent(client.client_id, since):
                        if client.email is None:
                            break
                        smtp = smtp or stack.enter_context(self._server.connect())
                        smtp.send_message(mail(self._server.sender, client, call, number))
                        self._store.sent(client.client_id, call.call_id, number)
                except (*_REFUSED, sqlite3.Error, ValueError, KeyError) as error:
                    extra = {"clientID": client.client_id, "error": type(error).__name__}
                    logger.error("message not mailed", extra=extra)
                    refused.add(client.client_id)
        return refused


def mail(sender: str, client: Client, call: CallRecord, number: int) -> EmailMessage:
    """The call's message of that number, as a mail."""
    message = call.messages[number]
    begun = call.started.astimezone(ZoneInfo(client.time_zone))
    who = " ".join((message.name or message.phone or "a caller").split())
    made = EmailMessage()
    made["Subject"] = f"{'Urgent message' if message.urgent else 'Message'} from {who}"
    made["From"] = Address(f"{client.business} (receptionist)", addr_spec=sender)
    made["To"] = client.email
    made["Date"] = call.started
    made["Message-ID"] = f"<{call.call_id}.{number}@{sender.rpartition('@')[2]}>"
    # Nobody's holiday reply answers a machine (RFC 3834).
    made["Auto-Submitted"] = "auto-generated"
    if message.urgent:
        made["Importance"] = "high"
    made.set_content(
        f"{message.text}\n\n"
        f"Name:   {message.name or 'not given'}\n"
        f"Number: {message.phone or call.caller or 'not given'}\n"
        f"Call:   {begun:%A, %Y-%m-%d %H:%M} ({client.time_zone})"
        f"{f', to {call.called}' if call.called else ''}\n"
    )
    return made
