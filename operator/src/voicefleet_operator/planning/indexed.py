"""A dictionary that also finds its values by what they refer to.

A reconciliation picks what is its client's out of listings of the whole fleet; to look through all
of them for each client would make the work of a fleet grow with the square of its size.
"""

from __future__ import annotations

from collections import UserDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Indexed(UserDict[K, V]):
    """`references` says by what a value is found; it must not change while the value is held."""

    def __init__(self, references: Callable[[V], Iterable[Hashable]]) -> None:
        self._references = references
        self._found: defaultdict[Hashable, dict[K, V]] = defaultdict(dict)
        super().__init__()

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        super().__setitem__(key, value)
        for reference in set(self._references(value)):
            self._found[reference][key] = value

    def __delitem__(self, key: K) -> None:
        value = self[key]
        super().__delitem__(key)
        for reference in set(self._references(value)):
            del self._found[reference][key]
            if not self._found[reference]:
                del self._found[reference]

    def by(self, reference: Hashable) -> list[V]:
        """The values that refer to it, in the order in which they were put in."""
        return list(self._found[reference].values()) if reference in self._found else []
