"""What a caller is likely to say, as a bias on the words that a transcriber chooses between.

The phrases are one Aho-Corasick automaton over the transcriber's tokens (as in k2's context
graphs). A token that goes on with a phrase is worth `BONUS` more, and what a phrase has gained is
taken back where it breaks off before its end. A token of no phrase costs `FOREIGN`, the first
`MOST_FOREIGN` of them: who says something else altogether is not heard the worse for its length.
All are log probabilities, chosen on the corpus of the bench (docs/latency.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BONUS = 1.5
FOREIGN = 1.0
MOST_FOREIGN = 5


@dataclass(slots=True)
class _Node:
    gained: float = 0.0
    """Of the phrase so far;"""
    kept: float = 0.0
    """what of it stays where the phrase breaks off: that of a phrase that ended on the way."""
    next: dict[int, int] = field(default_factory=dict)
    """Token to number of the node."""


class Phrases:
    """States are numbers; 0 is between two phrases."""

    def __init__(self, phrases: Iterable[Sequence[int]]) -> None:
        """Each phrase in tokens."""
        self._nodes = [_Node()]
        for tokens in phrases:
            at = 0
            for token in tokens:
                following = self._nodes[at].next
                if token not in following:
                    following[token] = len(self._nodes)
                    self._nodes.append(_Node(self._nodes[at].gained + BONUS))
                at = following[token]
            self._nodes[at].kept = self._nodes[at].gained
        # Children come after their parents.
        for node in self._nodes:
            for child in node.next.values():
                self._nodes[child].kept = max(self._nodes[child].kept, node.kept)

    def tokens(self, at: int) -> Iterable[int]:
        """Those that go on with a phrase, or begin one."""
        yield from self._nodes[at].next
        if at:
            yield from self._nodes[0].next

    def step(self, at: int, token: int, *, begins_word: bool) -> tuple[int, float]:
        """The next state, and what the step is worth; 0 where the token belongs to no phrase."""
        node = self._nodes[at]
        if (further := node.next.get(token)) is not None:
            return further, self._nodes[further].gained - node.gained
        # "Monday" is not in "Mondays": a phrase has ended only where the next word begins.
        back = (node.kept if begins_word else 0.0) - node.gained
        if (first := self._nodes[0].next.get(token)) is not None:
            return first, back + self._nodes[first].gained
        return 0, back
