"""What the stand-ins remember: one SQLite file, written before a reply is sent.

Vendors' objects are kept as the JSON documents that their APIs return. Handlers are plain
functions that run to their end inside one transaction, so a kill leaves all of a request or
nothing of it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import string
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, vendor TEXT, account TEXT, type TEXT, id TEXT, doc TEXT,
  UNIQUE (vendor, account, type, id));
CREATE INDEX IF NOT EXISTS objects_in_order ON objects (vendor, account, type, seq);
CREATE INDEX IF NOT EXISTS objects_by_id ON objects (type, id);
CREATE TABLE IF NOT EXISTS ledger (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, vendor TEXT, account TEXT, kind TEXT, id TEXT,
  amount INTEGER, currency TEXT, monthly INTEGER, mark TEXT, open INTEGER);
CREATE INDEX IF NOT EXISTS ledger_by_thing ON ledger (vendor, account, id);
CREATE TABLE IF NOT EXISTS idempotency (
  account TEXT, key TEXT, request TEXT, status INTEGER, body TEXT, created REAL,
  PRIMARY KEY (account, key));
CREATE TABLE IF NOT EXISTS requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, vendor TEXT, method TEXT, path TEXT,
  idempotency_key TEXT, parameters TEXT, status INTEGER, fault TEXT);
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, endpoint TEXT, event TEXT);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
"""
_TABLES = ("objects", "ledger", "idempotency", "requests", "deliveries", "meta")
# What objects are looked for by, beside their ids: fields of their documents, by vendor and type.
_FIELDS = {
    ("twilio", "number"): ("phone_number", "trunk_sid"),
    ("twilio", "trunk"): ("domain_name",),
    ("twilio", "deleted_trunk"): ("domain_name",),
    ("twilio", "origination_url"): ("trunk_sid",),
    ("stripe", "price"): ("lookup_key",),
    ("stripe", "payment_method"): ("customer",),
    ("stripe", "subscription"): ("customer",),
    ("stripe", "invoiceitem"): ("parent.subscription_details.subscription",),
    ("stripe", "invoice"): ("customer", "parent.subscription_details.subscription"),
}


def _indexes() -> str:
    return "".join(
        f"CREATE INDEX IF NOT EXISTS {vendor}_{kind}_by_{field.replace('.', '_')} ON objects"
        f" (json_extract(doc, '$.{field}')) WHERE vendor='{vendor}' AND type='{kind}';\n"
        for (vendor, kind), fields in _FIELDS.items()
        for field in fields
    )


_BASE62 = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24, alphabet: str = _BASE62) -> str:
    """A vendor-like identifier."""
    size = len(alphabet)
    return prefix + "".join(alphabet[byte % size] for byte in os.urandom(length))


class Store:
    """One file; one thread."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # One process at a time: a second one on the same file is refused.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        # A kill of the process loses nothing; only a power cut may lose the last replies.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA + _indexes())
        self._ahead = float(self.get_meta("clock") or 0)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one, only what is done here is undone."""
        inside = self._db.in_transaction
        self._db.execute("SAVEPOINT inner_one" if inside else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO inner_one" if inside else "ROLLBACK")
            raise
        self._db.execute("RELEASE inner_one" if inside else "COMMIT")

    def reset(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        self._ahead = 0.0

    # --- time ---------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch on the sandbox's clock."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.set_meta("clock", str(self._ahead + seconds))
        self._ahead += seconds

    # --- settings -----------------------------------------------------------------------------

    def get_meta(self, name: str) -> str | None:
        """One setting."""
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return row["value"] if row else None

    def set_meta(self, name: str, value: str) -> None:
        """Keep one setting."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, value))

    # --- vendors' objects ---------------------------------------------------------------------

    def put(self, vendor: str, account: str, kind: str, doc: Document, key: str = "id") -> Document:
        """Keep an object under its own id; its place in listings stays."""
        self._db.execute(
            "INSERT INTO objects (vendor, account, type, id, doc) VALUES (?,?,?,?,?)"
            " ON CONFLICT (vendor, account, type, id) DO UPDATE SET doc=excluded.doc",
            (vendor, account, kind, doc[key], json.dumps(doc)),
        )
        return doc

    def get(self, vendor: str, account: str, kind: str, id_: str) -> Document | None:
        """One object."""
        row = self._db.execute(
            "SELECT doc FROM objects WHERE vendor=? AND account=? AND type=? AND id=?",
            (vendor, account, kind, id_),
        ).fetchone()
        return json.loads(row["doc"]) if row else None

    def delete(self, vendor: str, account: str, kind: str, id_: str) -> None:
        """Forget one object."""
        self._db.execute(
            "DELETE FROM objects WHERE vendor=? AND account=? AND type=? AND id=?",
            (vendor, account, kind, id_),
        )

    def scan(
        self, vendor: str, account: str | None, kind: str, **fields: object
    ) -> Iterator[Document]:
        """Objects of a type, newest first, read as they are asked for; every account's if None.

        `fields`: those of `_FIELDS`, with `__` for the dot, that must have this value.
        """
        return self.scan_from(vendor, account, kind, fields)

    def scan_from(
        self,
        vendor: str,
        account: str | None,
        kind: str,
        fields: Mapping[str, object],
        *,
        after: str | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Document]:
        """The same, from behind the object of the id `after`, in either direction."""
        here = f"vendor='{vendor}' AND type='{kind}'"
        where, values = [here], list[object]()
        if account is not None:
            where.append("account=?")
            values.append(account)
        for name, value in fields.items():
            where.append(f"json_extract(doc, '$.{name.replace('__', '.')}') IS ?")
            values.append(value)
        if after is not None:
            there = f"(SELECT seq FROM objects WHERE {here} AND account=? AND id=?)"  # noqa: S608 - our own names
            where.append(f"seq {'>' if oldest_first else '<'} {there}")
            values += [account, after]
        order = "ASC" if oldest_first else "DESC"
        rows = self._db.execute(
            f"SELECT doc FROM objects WHERE {' AND '.join(where)} ORDER BY seq {order}",  # noqa: S608 - our own names
            values,
        )
        for row in rows:
            yield json.loads(row["doc"])

    def all(self, vendor: str, account: str | None, kind: str, **fields: object) -> list[Document]:
        """What `scan` finds, at once: the objects may be changed while one goes through them."""
        return list(self.scan_from(vendor, account, kind, fields))

    def due(
        self, vendor: str, account: str, kind: str, moment: str, condition: str, now: int
    ) -> list[tuple[str, int]]:
        """Objects whose `moment` (SQL over `doc`) has come, with it; `condition`: which can."""
        rows = self._db.execute(
            f"SELECT id, {moment} AS at FROM objects"  # noqa: S608 - our own constants
            f" WHERE vendor=? AND account=? AND type=? AND {condition} AND {moment} <= ?",
            (vendor, account, kind, now),
        )
        return [(row["id"], int(row["at"])) for row in rows]

    def values(self, vendor: str, kind: str, field: str) -> set[str]:
        """A field of all objects of a type, in every account."""
        rows = self._db.execute(
            f"SELECT json_extract(doc, '$.{field}') AS value FROM objects"  # noqa: S608 - our names
            f" WHERE vendor='{vendor}' AND type='{kind}'"
        )
        return {row["value"] for row in rows}

    def owner(self, vendor: str, kind: str, id_: str) -> str | None:
        """The account that has the object."""
        row = self._db.execute(
            "SELECT account FROM objects WHERE vendor=? AND type=? AND id=?", (vendor, kind, id_)
        ).fetchone()
        return row["account"] if row else None

    def accounts(self, vendor: str, kind: str) -> list[str]:
        """Accounts that have such objects."""
        rows = self._db.execute(
            "SELECT DISTINCT account FROM objects WHERE vendor=? AND type=?", (vendor, kind)
        )
        return [row["account"] for row in rows]

    # --- ledger -------------------------------------------------------------------------------

    def book(
        self,
        vendor: str,
        account: str,
        kind: str,
        id_: str,
        *,
        amount: int = 0,
        currency: str = "usd",
        monthly: int = 0,
        mark: object = "",
        is_open: bool | None = None,
    ) -> None:
        """Book an event. `is_open`: whether the thing is paid for from now on; None: unchanged."""
        self._db.execute(
            "INSERT INTO ledger (at, vendor, account, kind, id, amount, currency, monthly, mark,"
            " open) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                self.now(),
                vendor,
                account,
                kind,
                id_,
                amount,
                currency,
                monthly,
                json.dumps(mark),
                is_open,
            ),
        )

    def ledger(self, *, vendor: str | None = None, only_open: bool = False) -> list[Document]:
        """Events, oldest first; or the newest event of each thing that is paid for now."""
        newest = (
            " AND l.open=1 AND l.seq=(SELECT max(seq) FROM ledger m WHERE m.vendor=l.vendor"
            " AND m.account=l.account AND m.id=l.id AND m.open IS NOT NULL)"
        )
        rows = self._db.execute(
            "SELECT * FROM ledger l WHERE (? IS NULL OR vendor=?)"  # noqa: S608 - constant parts
            + (newest if only_open else "")
            + " ORDER BY seq",
            (vendor, vendor),
        )
        return [
            {
                "seq": row["seq"],
                "at": row["at"],
                "vendor": row["vendor"],
                "account": row["account"],
                "kind": row["kind"],
                "id": row["id"],
                "amountMinor": row["amount"],
                "currency": row["currency"],
                "monthlyMinor": row["monthly"],
                "mark": json.loads(row["mark"]),
                "open": None if row["open"] is None else bool(row["open"]),
            }
            for row in rows
        ]

    # --- idempotency keys ---------------------------------------------------------------------

    def recall(self, account: str, key: str) -> sqlite3.Row | None:
        """What was answered under an idempotency key in the last 24 hours."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM idempotency WHERE account=? AND key=? AND created>?",
            (account, key, self.now() - 86400),
        ).fetchone()
        return row

    def remember(self, account: str, key: str, request: str, status: int, body: str) -> None:
        """Keep the answer under its key."""
        self._db.execute(
            "INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?,?,?)",
            (account, key, request, status, body, self.now()),
        )

    def forget_old_answers(self) -> None:
        """Prune idempotency keys of more than 24 hours, as Stripe does."""
        self._db.execute("DELETE FROM idempotency WHERE created<=?", (self.now() - 86400,))

    # --- webhooks under way -------------------------------------------------------------------

    def enqueue(self, account: str, endpoint: str, event: str) -> None:
        """An event is to be delivered."""
        self._db.execute(
            "INSERT INTO deliveries (account, endpoint, event) VALUES (?,?,?)",
            (account, endpoint, event),
        )

    def deliveries(self, after: int) -> list[sqlite3.Row]:
        """What is to be delivered still, and was written after that sequence number."""
        return self._db.execute(
            "SELECT * FROM deliveries WHERE seq>? ORDER BY seq", (after,)
        ).fetchall()

    def delivered(self, seq: int) -> None:
        """It has arrived, or has been given up."""
        self._db.execute("DELETE FROM deliveries WHERE seq=?", (seq,))

    # --- request log --------------------------------------------------------------------------

    def log_request(self, **fields: Any) -> None:
        """Note a request; parameters by name and hash only."""
        names = ", ".join(fields)
        marks = ", ".join("?" for _ in fields)
        self._db.execute(
            f"INSERT INTO requests (at, {names}) VALUES (?, {marks})",  # noqa: S608 - our names
            (self.now(), *fields.values()),
        )

    def requests(self, since: int = 0) -> list[Document]:
        """Requests after that sequence number."""
        rows = self._db.execute("SELECT * FROM requests WHERE seq>? ORDER BY seq", (since,))
        return [{**dict(row), "parameters": json.loads(row["parameters"] or "{}")} for row in rows]
