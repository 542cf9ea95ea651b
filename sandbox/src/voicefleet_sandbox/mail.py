"""A mail server that takes everything and delivers nothing: what came is at `/_sandbox/mail`."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, Envelope, Session

from voicefleet_sandbox.store import Document, Store, new_id

_VENDOR, _ACCOUNT = "mail", "mailbox"


class _Mailbox:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail; called so by aiosmtpd."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else b""
        message = message_from_bytes(raw, policy=policy.default)
        plain = message.get_body(("plain",))
        doc: Document = {
            "id": new_id("mail", 24),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "messageID": message["Message-ID"],
            "subject": message["Subject"],
            "text": plain.get_content() if plain is not None else "",
        }
        with self._store.transaction():
            self._store.put(_VENDOR, _ACCOUNT, "mail", doc)
        return "250 OK"


async def serve(store: Store, host: str, port: int) -> asyncio.Server:
    """Take mail until the server is closed; raises OSError where the port is taken."""
    return await asyncio.get_running_loop().create_server(
        lambda: SMTP(_Mailbox(store), hostname="sandbox", enable_SMTPUTF8=True), host, port
    )


def received(store: Store) -> list[Document]:
    """All mails."""
    return store.all(_VENDOR, _ACCOUNT, "mail")
