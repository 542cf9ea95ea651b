"""What the stand-ins remember: one SQLite file, written before a reply is sent.

Vendors' objects are kept as the JSON documents that their APIs return. Handlers are plain
functions that run to their end inside one transaction, so a kill leaves all of a request or
nothing of it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, vendor TEXT, account TEXT, type TEXT, id TEXT, doc TEXT,
  UNIQUE (vendor, account, type, id));
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
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
"""
_TABLES = ("objects", "ledger", "idempotency", "requests", "meta")
_BASE62 = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24, alphabet: str = _BASE62) -> str:
    """A vendor-like identifier."""
    return prefix + "".join(secrets.choice(alphabet) for _ in range(length))


class Store:
    """One file; one thread."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        # A kill of the process loses nothing; only a power cut may lose the last replies.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def reset(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

    # --- time ---------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch on the sandbox's clock."""
        return time.time() + float(self.get_meta("clock") or 0)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.set_meta("clock", str(float(self.get_meta("clock") or 0) + seconds))

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

    def all(self, vendor: str, account: str | None, kind: str) -> list[Document]:
        """All objects of a type, newest first; of every account if None."""
        rows = self._db.execute(
            "SELECT doc FROM objects WHERE vendor=? AND (? IS NULL OR account=?) AND type=?"
            " ORDER BY seq DESC",
            (vendor, account, account, kind),
        )
        return [json.loads(row["doc"]) for row in rows]

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
