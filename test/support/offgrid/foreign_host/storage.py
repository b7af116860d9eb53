"""The storage of a host, in SQLite. A transaction is on the disk when it returns."""

import hashlib
import sqlite3
import threading

import dag_cbor
import forms
from merkle import Leaves, entry_of, leaf_of

HEAD, STAGED = 0, 1
EXTRA_PER_EVENT = 256
TREES_AS_EVIDENCE = 1000

SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS origin (
  name TEXT PRIMARY KEY, key BLOB NOT NULL, claim BLOB NOT NULL, head BLOB, staged BLOB, known BLOB);
CREATE TABLE IF NOT EXISTS event (
  origin TEXT NOT NULL, part INTEGER NOT NULL, sequence INTEGER NOT NULL, ts INTEGER NOT NULL,
  etype INTEGER NOT NULL, eid BLOB NOT NULL, leaf BLOB NOT NULL, sealed BLOB NOT NULL,
  damaged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (origin, part, sequence));
CREATE TABLE IF NOT EXISTS evidence (
  id INTEGER PRIMARY KEY, origin TEXT NOT NULL, tree BLOB NOT NULL, why TEXT NOT NULL, UNIQUE (origin, tree, why));
CREATE TABLE IF NOT EXISTS evidence_event (
  origin TEXT NOT NULL, sequence INTEGER NOT NULL, leaf BLOB NOT NULL, ts INTEGER NOT NULL, etype INTEGER NOT NULL,
  sealed BLOB NOT NULL, PRIMARY KEY (origin, sequence, leaf));
"""


class Origin:
    """One origin. The staged history shares its first `shared` events with the head, which has the rows."""

    def __init__(self, name, key, claim):
        self.name, self.key, self.claim = name, key, claim
        self.head = self.staged = self.known = None
        self.leaves = {HEAD: Leaves(), STAGED: Leaves()}
        self.shared = 0
        self.damaged = set()
        self.lock = threading.Lock()

    def part_of(self, part, sequence):
        """The part in which the row of an event of a history is stored."""
        return HEAD if part == HEAD or sequence <= self.shared else STAGED

    @property
    def broken(self):
        """Whether the stored leaves do not have the root of the head's tree."""
        return self.head is not None and (
            len(self.leaves[HEAD]) != self.head.sequence
            or self.leaves[HEAD].root(self.head.sequence) != self.head.root
        )


def _kept(thing):
    return None if thing is None else dag_cbor.encode(thing.thing)


def _thing(kept):
    return tuple(dag_cbor.decode(kept))


def is_intact(row):
    """Whether a row (ts, etype, eid, leaf, sealed) is intact: its content matches its address and leaf."""
    ts, etype, eid, leaf, sealed = row
    try:
        return hashlib.sha256(sealed).digest() == eid and leaf_of(entry_of(etype, ts, eid)) == leaf
    except (OverflowError, TypeError):
        return False


class Storage:
    def __init__(self, path, budget):
        self.lock = threading.RLock()
        self.database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.executescript(SCHEMA)
        self.budget = budget
        self.used = self._used()

    def identity(self):
        row = self.database.execute("SELECT fingerprint FROM identity").fetchone()
        return row[0] if row else None

    def be(self, fingerprint):
        self.database.execute("INSERT INTO identity VALUES (?)", (fingerprint,))

    def _used(self):
        used = 0
        for table in ("event", "evidence_event"):
            size = f"SELECT coalesce(sum(length(sealed) + {EXTRA_PER_EVENT}), 0) FROM {table}"
            used += self.database.execute(size).fetchone()[0]
        return used

    def origins(self):
        rows = self.database.execute("SELECT name, key, claim, head, staged, known FROM origin").fetchall()
        return [self._origin(*row) for row in rows]

    def _origin(self, name, key, claim, head, staged, known):
        origin = Origin(name, key, forms.claim_of(_thing(claim)))
        origin.head, origin.staged, origin.known = (
            None if kept is None else forms.tree_of(_thing(kept)) for kept in (head, staged, known)
        )
        rows = "SELECT sequence, leaf, damaged FROM event WHERE origin = ? AND part = ? ORDER BY sequence"
        first = None
        for part in (HEAD, STAGED):
            for sequence, leaf, damaged in self.database.execute(rows, (name, part)):
                if part == STAGED and first is None:
                    first = sequence
                    origin.leaves[STAGED] = origin.leaves[HEAD].first(first - 1)
                origin.leaves[part].append(leaf)
                if damaged and part == HEAD:
                    origin.damaged.add(sequence)
        if origin.staged is not None:
            origin.shared = origin.staged.sequence if first is None else first - 1
            if first is None:
                origin.leaves[STAGED] = origin.leaves[HEAD].first(origin.shared)
        self._heal(origin)
        return origin

    def _heal(self, origin):
        """Recomputes damaged leaves from their events."""
        if origin.broken and len(origin.leaves[HEAD]) == origin.head.sequence:
            rows = "SELECT ts, etype, eid FROM event WHERE origin = ? AND part = 0 ORDER BY sequence"
            rows = self.database.execute(rows, (origin.name,)).fetchall()
            try:
                leaves = Leaves(leaf_of(entry_of(etype, ts, eid)) for ts, etype, eid in rows)
            except (OverflowError, TypeError, AttributeError):
                return
            if leaves.root(len(leaves)) == origin.head.root:
                origin.leaves[HEAD] = leaves

    def grant(self, origin, claim):
        with self.lock:
            self.database.execute(
                "INSERT INTO origin (name, key, claim) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET claim = ?3",
                (origin.name, origin.key, _kept(claim)),
            )

    def keep_evidence(self, origin, tree, why):
        with self.lock:
            self.database.execute(
                "INSERT OR IGNORE INTO evidence (origin, tree, why) SELECT ?1, ?2, ?3 WHERE "
                "(SELECT count(*) FROM evidence WHERE origin = ?1 AND why = ?3) < ?4",
                (origin.name, dag_cbor.encode(tree.thing), why, TREES_AS_EVIDENCE),
            )

    def set_aside(self, database, origin, part, after, tree):
        """Keeps the events of a history beyond a sequence as evidence, with its tree."""
        database.execute(
            "INSERT OR IGNORE INTO evidence_event SELECT origin, sequence, leaf, ts, etype, sealed FROM event "
            "WHERE origin = ? AND part = ? AND sequence > ?",
            (origin.name, part, after),
        )
        self.keep_evidence(origin, tree, "SET_ASIDE")

    def transaction(self, work):
        with self.lock:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                result = work(self.database)
                self.database.execute("COMMIT")
            except BaseException as error:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                if getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
                    raise forms.Refusal(507, "FULL", "the disk of this host is full") from error
                raise
            self.used = self._used()
            return result

    def check_room(self, events):
        more = sum(len(event.sealed or b"") + EXTRA_PER_EVENT for event in events)
        if more > 0 and self.used + more > self.budget:
            raise forms.Refusal(507, "FULL", "the budget of this host is used up")

    @staticmethod
    def insert(database, origin, part, events):
        rows = []
        for event in events:
            leaf = leaf_of(entry_of(event.etype, event.ts, event.eid))
            row = (origin.name, part, event.sequence, event.ts, event.etype, event.eid, leaf)
            rows.append((*row, event.sealed or b"", event.sealed is None))
        # An event without content does not replace stored content.
        database.executemany(
            "INSERT INTO event (origin, part, sequence, ts, etype, eid, leaf, sealed, damaged) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ts = excluded.ts, etype = excluded.etype, "
            "eid = excluded.eid, leaf = excluded.leaf, sealed = excluded.sealed, damaged = excluded.damaged "
            "WHERE excluded.damaged = 0 OR leaf IS NOT excluded.leaf",
            rows,
        )

    @staticmethod
    def write_trees(database, origin, head, staged, known):
        database.execute(
            "UPDATE origin SET head = ?, staged = ?, known = ? WHERE name = ?",
            (_kept(head), _kept(staged), _kept(known), origin.name),
        )

    def row(self, origin, part, sequence):
        """(ts, etype, eid, leaf, sealed), or None."""
        with self.lock:
            return self.database.execute(
                "SELECT ts, etype, eid, leaf, sealed FROM event WHERE origin = ? AND part = ? AND sequence = ?",
                (origin.name, origin.part_of(part, sequence), sequence),
            ).fetchone()

    def damaged(self, origin):
        """The sequences of the head's events that are known to be damaged."""
        with self.lock:
            rows = "SELECT sequence FROM event WHERE origin = ? AND part = 0 AND damaged = 1"
            return {sequence for (sequence,) in self.database.execute(rows, (origin.name,))}

    def mark(self, origin, sequences):
        """Records that events of the head are damaged."""
        with self.lock:
            self.database.executemany(
                "UPDATE event SET damaged = 1 WHERE origin = ? AND part = 0 AND sequence = ?",
                [(origin.name, sequence) for sequence in sequences],
            )
        origin.damaged.update(sequences)
