"""DNS: clients' names in the fleet's zone, by dynamic update (RFC 2136) with TSIG (RFC 8945).

A name is ours only while the TXT record beside it says so. Every update carries that as a
prerequisite, so the server itself refuses to touch what somebody else has put there. The record's
name is prefixed, since nothing may stand beside a CNAME (RFC 1034, section 3.6.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

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
)
from voicefleet_operator.planning.observed import DNSName, Mark

_TIMEOUT = 10.0
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
    ) -> None:
        self._server, self._port = server, port
        self._zone = dns.name.from_text(zone)
        self._keyring = dns.tsigkeyring.from_text({tsig_name: (tsig_algorithm, tsig_secret)})
        self._fleet_id = fleet_id

    async def close(self) -> None:
        """Nothing is kept open."""

    async def inventory(self) -> dict[str, DNSName]:
        """All names of the zone by label, whoever has them (AXFR, RFC 5936)."""
        zone = dns.zone.Zone(self._zone)
        query, _ = dns.xfr.make_query(zone, keyring=self._keyring)
        with _errors():
            await dns.asyncquery.inbound_xfr(
                self._server, zone, query, port=self._port, timeout=_TIMEOUT, lifetime=_TIMEOUT
            )
        return {name.label: name for name in _names(zone)}

    async def create(self, label: str, *, target: str, ttl: int, mark: Mark) -> DNSName:
        """Add a name; raises `Rejected` (SubdomainTaken) where it is somebody else's."""
        made = _name(label, target, ttl, mark)
        update = self._update()
        update.absent(label)
        update.absent(_owner_label(label))
        self._add(update, made, mark)
        rcode = await self._send(update)
        if rcode == dns.rcode.NOERROR:
            return made
        # A repeat whose first reply was lost finds its own name.
        found = (await self.inventory()).get(label)
        if found is not None and mark.owns(found.mark):
            return await self.update(label, target=target, ttl=ttl, mark=found.mark or mark)
        raise Rejected(
            "SubdomainTaken",
            f"{label} is already in zone {self._zone} and belongs to"
            f" {_owner_words(found.mark if found else None)}",
            hint="Choose another spec.dns.subdomain",
        )

    async def update(self, label: str, *, target: str, ttl: int, mark: Mark) -> DNSName:
        """Change what a name of ours points at; raises `Rejected` (NotOurs)."""
        made = _name(label, target, ttl, mark)
        update = self._update()
        update.present(_owner_label(label), "TXT", _owner_text(mark))
        update.delete(label)
        update.delete(_owner_label(label))
        self._add(update, made, mark)
        if await self._send(update) != dns.rcode.NOERROR:
            raise _not_ours(label)
        return made

    async def delete(self, label: str, *, mark: Mark) -> None:
        """Remove a name of ours; fine where it is gone, `Rejected` (NotOurs) where it is not."""
        update = self._update()
        update.present(_owner_label(label), "TXT", _owner_text(mark))
        update.delete(label)
        update.delete(_owner_label(label))
        if await self._send(update) == dns.rcode.NOERROR:
            return
        if label in await self.inventory():
            raise _not_ours(label)

    def _update(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self._zone, keyring=self._keyring)

    def _add(self, update: dns.update.UpdateMessage, name: DNSName, mark: Mark) -> None:
        update.add(name.label, name.ttl, name.rtype, _absolute(name))
        update.add(_owner_label(name.label), name.ttl, "TXT", _owner_text(mark))

    async def _send(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        with _errors():
            answer = await dns.asyncquery.tcp(
                update, self._server, port=self._port, timeout=_TIMEOUT
            )
        rcode = answer.rcode()
        if rcode == dns.rcode.NOERROR or rcode in _PREREQUISITE:
            return rcode
        words = f"the DNS server answered {dns.rcode.to_text(rcode)}"
        if rcode in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
            raise Unauthorized("Unauthorized", words, hint="Check zone, TSIG key and its rights")
        raise Ambiguous("DNSFailed", words)


def _owner_label(label: str) -> str:
    return f"_voicefleet.{label}"


def _owner_text(mark: Mark) -> str:
    return (
        f'"heritage=voicefleet,fleet={mark.fleet_id},client={mark.client_id},'
        f'namespace={mark.namespace},name={mark.name}"'
    )


def _owner(text: str) -> Mark | None:
    fields = dict(part.split("=", 1) for part in text.strip('"').split(",") if "=" in part)
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
        for rdataset in node.rdatasets:
            if rdataset.rdtype not in _ADDRESS_TYPES or name == dns.name.empty:
                continue
            label = name.to_text()
            value = rdataset[0].to_text(origin=zone.origin, relativize=False).rstrip(".")
            owner = zone.get_rdataset(_owner_label(label), "TXT")
            mark = _owner(owner[0].to_text()) if owner else None
            yield DNSName(label, dns.rdatatype.to_text(rdataset.rdtype), value, rdataset.ttl, mark)


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
        raise Unauthorized(
            "Unauthorized", str(error), hint="The key needs the right to transfer the zone"
        ) from error
    except (OSError, dns.exception.DNSException) as error:
        raise Ambiguous("DNSUnreachable", f"{type(error).__name__}: {error}") from error
