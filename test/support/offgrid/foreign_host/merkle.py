"""The tree of RFC 6962, section 2.1, over entries of 42 bytes, with the root at every length."""

import hashlib

NOTHING = hashlib.sha256().digest()


def entry_of(etype, ts, eid):
    return etype.to_bytes(2, "big") + ts.to_bytes(8, "big", signed=True) + eid


def leaf_of(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def _root_of_peaks(peaks):
    if not peaks:
        return NOTHING
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = _node(peak, root)
    return root


class Leaves:
    """Leaf hashes in order. Level k holds the roots of the perfect subtrees of 2^k leaves."""

    def __init__(self, leaves=()):
        self.levels = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self):
        return len(self.levels[0])

    def __getitem__(self, index):
        return self.levels[0][index]

    def append(self, leaf):
        level = 0
        self.levels[0].append(leaf)
        while len(self.levels[level]) % 2 == 0:
            pair = self.levels[level][-2:]
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(_node(*pair))

    def first(self, length):
        """A copy of the first leaves."""
        copy = Leaves()
        copy.levels = [level[: length >> number] for number, level in enumerate(self.levels)]
        return copy

    def _peaks(self, length):
        peaks, offset = [], 0
        for level in range(len(self.levels) - 1, -1, -1):
            if length >> level & 1:
                peaks.append(self.levels[level][offset >> level])
                offset += 1 << level
        return peaks

    def root(self, length):
        return _root_of_peaks(self._peaks(length))

    def root_with(self, length, more):
        """The root of the first leaves followed by more, without keeping them."""
        peaks = self._peaks(length)
        for leaf in more:
            size = length
            while size & 1:
                leaf = _node(peaks.pop(), leaf)
                size >>= 1
            peaks.append(leaf)
            length += 1
        return _root_of_peaks(peaks)

    def common(self, other):
        """The number of leaves with which both begin."""
        low, high = 0, min(len(self), len(other))
        while low < high:
            middle = (low + high + 1) // 2
            if self.root(middle) == other.root(middle):
                low = middle
            else:
                high = middle - 1
        return low
