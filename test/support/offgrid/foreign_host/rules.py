"""Claims, batches and mending: the changes to what a host keeps of an origin."""

import ed25519
import forms
from forms import Refusal
from merkle import entry_of, leaf_of
from storage import HEAD, STAGED, Origin

ORIGINS_AT_MOST = 1000


def claim(host, name, members):
    """Grants the claim of a body, or refuses it; returns the origin."""
    key = forms.binary(members, "key", 32, 32)
    if ed25519.is_small_order(key):
        raise forms.bad_request("the key is of small order")
    thing = forms.signed(members, "claim")
    forms.binary(members, "challenge", 16, 16)
    origin = host.origins.get(name)
    if origin is not None and key != origin.key:
        raise forms.not_signed("another key is pinned here")
    if not forms.is_by(key, forms.CLAIM, thing):
        raise forms.not_signed("the claim is not signed with this key")
    asked = forms.claim_of(thing)
    if asked.origin != name or asked.host != host.fingerprint:
        raise forms.not_signed("the claim is for another origin or another host")
    if origin is None:
        if len(host.origins) >= ORIGINS_AT_MOST:
            raise Refusal(507, "FULL", "this host has no room for another origin")
        origin = Origin(name, key, asked)
        host.storage.grant(origin, asked)
        host.origins[name] = origin
        return origin
    granted = origin.claim
    if asked.epoch > granted.epoch:
        host.storage.grant(origin, asked)
        origin.claim = asked
    elif (asked.epoch, asked.writer) != (granted.epoch, granted.writer):
        raise Refusal(403, "FENCED", "another process was granted this epoch", claim=granted.thing)
    return origin


def batch(host, name, members):
    """Takes a batch, or refuses it; returns the origin."""
    start = forms.number(members, "from", 1, forms.LARGEST)
    thing = forms.signed(members, "tree")
    events = forms.events_of(members, start)
    origin = host.origins.get(name)
    if origin is None:
        raise Refusal(409, "NOT_CLAIMED", "nothing was granted to this origin")
    if not forms.is_by(origin.key, forms.TREE, thing):
        raise forms.not_signed("the tree is not signed with the key that is pinned here")
    tree = forms.tree_of(thing)
    if tree.origin != name:
        raise forms.not_signed("the tree is of another origin")
    if tree.sequence != start + len(events) - 1:
        raise forms.bad_request("the tree does not end where the events end")
    _check_claim(origin.claim, tree)
    try:
        _Batch(host, origin, tree, start - 1, events).take()
    except Refusal as refusal:
        if origin.broken and refusal.body["code"] in ("OTHER", "COMMITTED", "FORKED"):
            raise Refusal(500, "DAMAGED", "what is stored here does not have the root that was signed") from refusal
        raise
    if origin.damaged:
        mend(host, origin, [event for event in events if event.sealed is not None])
    return origin


def _check_claim(granted, tree):
    if tree.epoch > granted.epoch:
        raise Refusal(409, "NOT_CLAIMED", "this epoch was not granted")
    if tree.epoch < granted.epoch:
        raise Refusal(403, "FENCED", "a higher epoch was granted", claim=granted.thing)
    if tree.writer != granted.writer:
        raise Refusal(409, "NOT_CLAIMED", "this epoch was granted to another writer")


class _Batch:
    def __init__(self, host, origin, tree, before, events):
        self.host, self.origin, self.tree, self.before, self.events = host, origin, tree, before, events
        self.part = self._history()
        self.leaves = origin.leaves[self.part].first(before)
        for leaf in self._new_leaves():
            self.leaves.append(leaf)

    def _new_leaves(self):
        return [leaf_of(entry_of(e.etype, e.ts, e.eid)) for e in self.events]

    def _history(self):
        origin, leaves = self.origin, self._new_leaves()
        lengths = {HEAD: len(origin.leaves[HEAD])}
        if origin.staged is not None:
            lengths = {STAGED: len(origin.leaves[STAGED]), **lengths}
        if all(length < self.before for length in lengths.values()):
            raise Refusal(409, "GAP", "events are missing before these", sequence=max(lengths.values()))
        for part, length in lengths.items():
            if length >= self.before and origin.leaves[part].root_with(self.before, leaves) == self.tree.root:
                return part
        raise Refusal(409, "OTHER", "these events do not give the root of the tree")

    def take(self):
        origin, tree = self.origin, self.tree
        for other in (origin.head, origin.known):
            if other is not None and other.line == tree.line and other.begun != tree.begun:
                self._forked(other, "this line began elsewhere")
        head = origin.head
        if not tree.complete:
            self._stage()
        elif head is not None and (head.line, head.epoch) == (tree.line, tree.epoch):
            self._continue(head)
        elif head is not None and (tree.line, tree.epoch) < (head.line, head.epoch):
            raise Refusal(409, "OLDER", "the head ranks above this tree", tree=head.thing)
        else:
            self._become_head()

    def _forked(self, other, why):
        self.host.storage.keep_evidence(self.origin, self.tree, "FORK")
        raise Refusal(409, "FORKED", why, tree=other.thing)

    def _known(self):
        known, tree = self.origin.known, self.tree
        if tree.quorum > 0 and (known is None or (tree.line, tree.quorum) > (known.line, known.quorum)):
            return tree
        return known

    def _write(self, head, staged, rows=lambda database: None):
        """Changes rows and trees in one transaction, and then the state in memory."""
        origin, known = self.origin, self._known()

        def change(database):
            rows(database)
            self.host.storage.write_trees(database, origin, head, staged, known)

        if (head, staged, known) != (origin.head, origin.staged, origin.known):
            self.host.storage.transaction(change)
        origin.head, origin.staged, origin.known = head, staged, known

    def _check_room(self):
        """Only events that are not stored yet take space."""
        kept = max(leaves.common(self.leaves) for leaves in self.origin.leaves.values())
        self.host.storage.check_room([event for event in self.events if event.sequence > kept])

    def _stage(self):
        origin, tree, staged = self.origin, self.tree, self.origin.staged
        longer = staged is not None and (
            staged.epoch > tree.epoch or (staged.epoch == tree.epoch and staged.sequence > tree.sequence)
        )
        if longer:
            self._write(origin.head, staged)
            return
        self._check_room()
        shared = origin.leaves[HEAD].common(self.leaves)

        def change(database):
            self._give_up_staged(database)
            if self.part == HEAD:
                database.execute("DELETE FROM event WHERE origin = ? AND part = 1", (origin.name,))
            else:
                database.execute(
                    "DELETE FROM event WHERE origin = ? AND part = 1 AND (sequence <= ? OR sequence > ?)",
                    (origin.name, shared, self.before),
                )
            new = [event for event in self.events if event.sequence > shared]
            self.host.storage.insert(database, origin, STAGED, new)

        self._write(origin.head, tree, change)
        origin.leaves[STAGED], origin.shared = self.leaves, shared

    def _continue(self, head):
        """A complete tree of the head's line and epoch."""
        origin, tree = self.origin, self.tree
        shorter = min(head.sequence, tree.sequence)
        if origin.leaves[HEAD].root(shorter) != self.leaves.root(shorter):
            self._forked(head, "there is another history of this line and epoch")
        if tree.sequence > head.sequence:
            self._become_head()
        elif tree.sequence == head.sequence and tree.quorum > head.quorum:
            self._write(tree, origin.staged)
        else:
            self._write(head, origin.staged)

    def _become_head(self):
        origin, tree, known = self.origin, self.tree, self.origin.known
        if known is not None and (known.line, known.begun) == (tree.line, tree.begun):
            short = tree.sequence < known.quorum
            if (short and tree.epoch > known.epoch) or (
                not short and self.leaves.root(known.quorum) != known.quorum_root
            ):
                raise Refusal(409, "COMMITTED", "this tree lacks events that were at quorum", tree=known.thing)
        self._check_room()
        common = origin.leaves[HEAD].common(self.leaves)
        kept_of_staged = self.part == STAGED and self.before > origin.shared

        def change(database):
            if origin.head is not None and origin.head.sequence > common:
                self.host.storage.set_aside(database, origin, HEAD, common, origin.head)
                database.execute(
                    "DELETE FROM event WHERE origin = ? AND part = 0 AND sequence > ?", (origin.name, common)
                )
            self._give_up_staged(database)
            if kept_of_staged:
                database.execute(
                    "UPDATE event SET part = 0 WHERE origin = ? AND part = 1 AND sequence <= ?",
                    (origin.name, self.before),
                )
            database.execute("DELETE FROM event WHERE origin = ? AND part = 1", (origin.name,))
            self.host.storage.insert(database, origin, HEAD, self.events)

        self._write(tree, None, change)
        origin.leaves[HEAD] = self.leaves
        origin.leaves[STAGED], origin.shared = self.leaves.first(0), 0
        origin.damaged = self.host.storage.damaged(origin)

    def _give_up_staged(self, database):
        """Keeps staged events that are not in the history of this batch as evidence, with their tree."""
        origin = self.origin
        if origin.staged is None:
            return
        common = origin.leaves[STAGED].common(self.leaves)
        if common < origin.staged.sequence and origin.shared < origin.staged.sequence:
            self.host.storage.set_aside(database, origin, STAGED, common, origin.staged)


def mend(host, origin, events):
    """Restores events of either history whose leaf is stored; returns how many sequences are intact now."""
    mended = set()
    for event in {event.sequence: event for event in events}.values():
        leaf = leaf_of(entry_of(event.etype, event.ts, event.eid))
        for part in (HEAD, STAGED):
            leaves = origin.leaves[part]
            if event.sequence > len(leaves) or leaves[event.sequence - 1] != leaf:
                continue
            place = origin.part_of(part, event.sequence)
            host.storage.transaction(
                lambda database, place=place, event=event: host.storage.insert(database, origin, place, [event])
            )
            mended.add(event.sequence)
            if part == HEAD:
                origin.damaged.discard(event.sequence)
    return len(mended)
