"""Twilio: calls from us out over clients' trunks ("termination"), guarded by a user and password.

A fleet has one credential list in an account, and one credential in it, for its LiveKit server.
The password is derived from the account's own secret: it need not be kept, is known again after a
crash, and changes with the secret. Twilio shows no password, so the user's name says which one it
is (https://www.twilio.com/docs/sip-trunking/api/credentiallist-resource).
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from twilio.rest import Client

from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.drivers.transport import repeated
from voicefleet_operator.drivers.twilio_wire import errors

_PAGE = 1000
_STRONG = "Vf1"
"""Twilio wants small and capital letters and a digit."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What LiveKit signs in with."""

    username: str
    password: str = field(repr=False)


def derive(secret: str, fleet_id: str) -> Credential:
    """The fleet's credential in the account with that secret."""
    digest = hmac.digest(secret.encode(), f"voicefleet/{fleet_id}/termination".encode(), "sha256")
    password = _STRONG + urlsafe_b64encode(digest).decode().rstrip("=")
    return Credential(f"voicefleet-{sha256(password.encode()).hexdigest()[:12]}", password)


class Termination:
    """The fleet's list in one account, and which trunks go by it."""

    def __init__(self, client: Client, fleet_id: str, secret: str) -> None:
        self.credential = derive(secret, fleet_id)
        self._name = f"voicefleet/{fleet_id}"
        self._lists = client.api.v2010.account.sip.credential_lists
        self._trunks = client.trunking.v1.trunks
        self._sid: str | None = None
        """Of the list, once it is known to hold the credential."""
        self._late: list[str] = []
        """Lists that there are beside it."""
        self._making = asyncio.Lock()

    async def open(self, trunk_sid: str) -> Credential:
        """Let our credential call out over the trunk; repeats change nothing."""
        list_sid = await self._list()
        guards = await self._guards(trunk_sid)
        if list_sid not in guards:
            with errors():
                await self._trunks(trunk_sid).credentials_lists.create_async(
                    credential_list_sid=list_sid
                )
        await self._take_off(trunk_sid, [sid for sid in guards if sid != list_sid])
        await self._drop_late()
        return self.credential

    async def close(self, trunk_sid: str) -> None:
        """Take that back; fine where it, or the trunk, is gone."""
        try:
            await self._take_off(trunk_sid, await self._guards(trunk_sid))
        except Gone:
            return

    async def _take_off(self, trunk_sid: str, lists: Sequence[str]) -> None:
        for sid in lists:
            with errors():
                await self._trunks(trunk_sid).credentials_lists(sid).delete_async()

    @repeated
    async def _guards(self, trunk_sid: str) -> list[str]:
        """Lists of ours that the trunk goes by."""
        with errors():
            found = await self._trunks(trunk_sid).credentials_lists.list_async(page_size=_PAGE)
        return [str(entry.sid) for entry in found if entry.friendly_name == self._name]

    async def user(self, *, opened: bool) -> str:
        """Who may call out; empty where the list is not there, or is not as `open` leaves it.

        Nobody is asked while no trunk is `opened`.
        """
        found = await self._ours() if opened else []
        if len(found) == 1:
            [sid] = found
            if [entry.username for entry in await self._members(sid)] == [self.credential.username]:
                return self.credential.username
        self._sid = None
        return ""

    async def _list(self) -> str:
        """The list's SID. Looked for before it is made: Twilio would make a second one."""
        async with self._making:
            if self._sid is None:
                self._sid = await self._tidied()
            return self._sid

    async def _tidied(self) -> str:
        """One list with our credential in it, and none of a former secret."""
        lists = {sid: await self._members(sid) for sid in await self._ours()}
        if not lists:
            with errors():
                made = await self._lists.create_async(friendly_name=self._name)
            lists[str(made.sid)] = []
        # Of two, one came late; trunks may go by it, so it is dropped at last.
        sid, *self._late = sorted(lists, key=lambda each: (not lists[each], each))
        members = self._lists(sid).credentials
        user = self.credential.username
        ours = next((entry for entry in lists[sid] if entry.username == user), None)
        with errors():
            if ours is None:
                await members.create_async(username=user, password=self.credential.password)
            for entry in lists[sid]:
                if entry is not ours:
                    await members(entry.sid).delete_async()
        return sid

    async def _drop_late(self) -> None:
        async with self._making:
            while self._late:
                with errors():
                    await self._lists(self._late.pop()).delete_async()

    @repeated
    async def _ours(self) -> list[str]:
        with errors():
            found = await self._lists.list_async(page_size=_PAGE)
        return [str(entry.sid) for entry in found if entry.friendly_name == self._name]

    @repeated
    async def _members(self, sid: str) -> list[Any]:
        with errors():
            return list(await self._lists(sid).credentials.list_async(page_size=_PAGE))
