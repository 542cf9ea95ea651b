"""DNS: clients' names in the fleet's zone, by dynamic update (RFC 2136) with TSIG (RFC 8945).

A name is ours only while the TXT record beside it says so. Every update carries that as a
prerequisite, so the server itself refuses to touch what somebody else has put there. The record's
name is prefixed, since nothing may stand beside a CNAME (RFC 1034, section 3.6.2).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.xfr
import dns.zone

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Rejected,
    Unauthorized,
    Unavailable,
    VendorError,
)
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.transport import TIMEOUT, repeated
from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.planning.observed import DNSName, Mark, dns_names

_ADDRESS_TYPES = (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME)
# "Name exists / does not exist when it should (not)": a prerequisite was not met.
_PREREQUISITE = {
    dns.rcode.YXDOMAIN,
    dns.rcode.NXDOMAIN,
    dns.rcode.YXRRSET,
    dns.rcode.NXRRSET,
}


class DNSDriver:
    """One zone on one primary server."""

    def __init__(
        self,
        *,
        server: str,
        port: int,
        zone: str,
        tsig_name: str,
        tsig_algorithm: str,
        tsig_secret: str,
        fleet_id: str,
        guard: Guard | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """`server`: host name or address; `tsig_secret`: base64. `ValueError` on a bad one."""
        self._server, self._port, self._timeout = server, port, timeout
        self._zone = dns.name.from_text(zone)
        self._keyring = dns.tsigkeyring.from_text({tsig_name: (tsig_algorithm, tsig_secret)})
        try:
            for key in self._keyring.values():
                dns.tsig.get_context(key)  # type: ignore[no-untyped-call]
        except NotImplementedError as error:
            raise ValueError(f"TSIG algorithm {tsig_algorithm!r} is not known") from error
        self._fleet_id = fleet_id
        self._guard = guard or Guard()

    async def close(self) -> None:
        """Nothing is kept open."""

    async def inventory(self) -> Indexed[str, DNSName]:
        """All names of the zone by label, whoever has them (AXFR, RFC 5936)."""
        zone = await self._transfer()
        return dns_names(_names(zone))

    async def create(self, label: str, *, target: str, ttl: int, mark: Mark) -> DNSName:
        """Add a name; raises `Rejected` (SubdomainTaken) where it is somebody else's."""
        made = _name(label, target, ttl, mark)
        update = self._message()
        update.absent(label)
        update.absent(_owner_label(label))
        _add(update, made, mark)
        if await self._send(update):
            return made
        # A repeat whose first reply was lost finds its own name, and a name whose address somebody
        # has removed still has our owner record: that one is the prerequisite now.
        owner = _owner_of(await self._transfer(), label)
        if owner is not None and mark.owns(owner):
            return await self.update(label, target=target, ttl=ttl, mark=mark)
        raise Rejected(
            "SubdomainTaken",
            f"{label} is already in zone {self._zone} and belongs to {_owner_words(owner)}",
            hint="Choose another spec.dns.subdomain",
        )

    async def update(self, label: str, *, target: str, ttl: int, mark: Mark) -> DNSName:
        """Change what a name of ours points at; raises `Rejected` (NotOurs)."""
        made = _name(label, target, ttl, mark)

        def change(update: dns.update.UpdateMessage) -> None:
            _remove(update, label)
            _add(update, made, mark)

        if not await self._change_ours(label, mark, change):
            raise _not_ours(label)
        return made

    async def delete(self, label: str, *, mark: Mark) -> None:
        """Remove a name of ours; fine where it is gone, `Rejected` (NotOurs) where it is not."""
        if await self._change_ours(label, mark, lambda update: _remove(update, label)):
            return
        if label in await self.inventory():
            raise _not_ours(label)

    async def _change_ours(
        self, label: str, mark: Mark, change: Callable[[dns.update.UpdateMessage], None]
    ) -> bool:
        """Change the name if its owner record is ours when the server looks at it."""
        if await self._change_owned(label, _owner_text(mark), change):
            return True
        # The client may have been renamed or moved since: the record counts by fleet and client.
        owner = _owner_of(await self._transfer(), label)
        if owner is None or not mark.owns(owner) or owner == mark:
            return False
        return await self._change_owned(label, _owner_text(owner), change)

    async def _change_owned(
        self, label: str, owner: str, change: Callable[[dns.update.UpdateMessage], None]
    ) -> bool:
        update = self._message()
        update.present(_owner_label(label), "TXT", owner)
        change(update)
        return await self._send(update)

    # --- the wire -----------------------------------------------------------------------------

    def _message(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self._zone, keyring=self._keyring)

    @asynccontextmanager
    async def _request(self, *, writes: bool) -> AsyncIterator[str]:
        """Guarded, and with all exceptions as ours; the server's address."""
        address = await self._address()
        async with self._guard.request(writes=writes):
            with _errors():
                yield address

    async def _address(self) -> str:
        """The server's address; a name is looked up each time, since it may move."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._server, self._port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise Unavailable(
                "DNSUnreachable", f"the DNS server {self._server} is not found: {error}"
            ) from error
        return str(found[0][4][0])

    @repeated
    async def _transfer(self) -> dns.zone.Zone:
        zone = dns.zone.Zone(self._zone)
        query, _ = dns.xfr.make_query(zone, keyring=self._keyring)
        async with self._request(writes=False) as address:
            await dns.asyncquery.inbound_xfr(
                address,
                zone,
                query,
                port=self._port,
                timeout=self._timeout,
                lifetime=self._timeout,
            )
        return zone

    async def _send(self, update: dns.update.UpdateMessage) -> bool:
        """Send it; whether its prerequisites were met."""
        async with self._request(writes=True) as address:
            answer = await dns.asyncquery.tcp(
                update, address, port=self._port, timeout=self._timeout
            )
            rcode = answer.rcode()
            if rcode in _PREREQUISITE:
                return False
            if rcode != dns.rcode.NOERROR:
                raise _refusal(rcode)
        return True


def _add(update: dns.update.UpdateMessage, name: DNSName, mark: Mark) -> None:
    update.add(name.label, name.ttl, name.rtype, _absolute(name))
    update.add(_owner_label(name.label), name.ttl, "TXT", _owner_text(mark))


def _remove(update: dns.update.UpdateMessage, label: str) -> None:
    update.delete(label)
    update.delete(_owner_label(label))


def _owner_label(label: str) -> str:
    return f"_voicefleet.{label}"


def _owner_text(mark: Mark) -> str:
    text = (
        f"heritage=voicefleet,fleet={mark.fleet_id},client={mark.client_id},"
        f"namespace={mark.namespace},name={mark.name}"
    )
    # A string of a TXT record has at most 255 bytes; names of objects may have 253.
    return " ".join(f'"{text[i : i + 255]}"' for i in range(0, len(text), 255))


def _owner_of(zone: dns.zone.Zone, label: str) -> Mark | None:
    """Whom the TXT record beside the name names; None where there is none of ours."""
    rdataset = zone.get_rdataset(_owner_label(label), "TXT")
    if rdataset is None or len(rdataset) != 1:
        return None
    text = b"".join(rdataset[0].strings).decode(errors="replace")
    fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if fields.get("heritage") != "voicefleet":
        return None
    return Mark(
        fields.get("fleet", ""),
        fields.get("client", ""),
        fields.get("namespace", ""),
        fields.get("name", ""),
    )


def _owner_words(mark: Mark | None) -> str:
    return f"client {mark.namespace}/{mark.name}" if mark else "somebody else"


def _not_ours(label: str) -> Rejected:
    return Rejected(
        "NotOurs",
        f"the owner record of {label} does not name this client",
        hint="Remove the name by hand if it is no longer needed",
    )


def _name(label: str, target: str, ttl: int, mark: Mark) -> DNSName:
    try:
        rtype = "AAAA" if ipaddress.ip_address(target).version == 6 else "A"
    except ValueError:
        rtype = "CNAME"
    return DNSName(label, rtype, target.rstrip("."), ttl, mark)


def _absolute(name: DNSName) -> str:
    return f"{name.value}." if name.rtype == "CNAME" else name.value


def _names(zone: dns.zone.Zone) -> Iterator[DNSName]:
    for name, node in zone.nodes.items():
        addresses = sorted(
            (r for r in node.rdatasets if r.rdtype in _ADDRESS_TYPES), key=lambda r: r.rdtype
        )
        if not addresses or name == dns.name.empty:
            continue
        label = name.to_text()
        # More than one value is never what we wrote: shown whole, it differs from what is wanted.
        values = [
            rdata.to_text(origin=zone.origin, relativize=False).rstrip(".")
            for rdataset in addresses
            for rdata in rdataset
        ]
        yield DNSName(
            label=label,
            rtype="+".join(dns.rdatatype.to_text(rdataset.rdtype) for rdataset in addresses),
            value=",".join(sorted(values)),
            ttl=addresses[0].ttl,
            mark=_owner_of(zone, label),
        )


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError as error:
        raise Unavailable("DNSUnreachable", str(error)) from error
    except (dns.tsig.PeerError, dns.tsig.BadSignature) as error:
        raise Unauthorized(
            "Unauthorized", f"TSIG: {error}", hint="Check the DNS Secret and the server's key"
        ) from error
    except dns.query.TransferError as error:
        raise _refusal(error.rcode) from error
    except dns.exception.FormError as error:
        # Not signed, so not to be believed; servers also say so that they do not have the zone.
        raise Ambiguous(
            "DNSUnsigned", f"{error}: does the DNS server serve this zone, and know the key?"
        ) from error
    except (OSError, EOFError, dns.exception.DNSException) as error:
        words = str(error) or "no answer"
        raise Ambiguous("DNSSilent", f"{type(error).__name__}: {words}") from error


def _refusal(rcode: dns.rcode.Rcode) -> VendorError:
    words = f"the DNS server answered {dns.rcode.to_text(rcode)}"
    if rcode in (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
        return Unauthorized(
            "Unauthorized",
            words,
            hint="Check zone, TSIG key and its rights to update and transfer the zone",
        )
    return Ambiguous("DNSFailed", words)
