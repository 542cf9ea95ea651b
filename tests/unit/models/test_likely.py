"""The bias on words that a speaker is likely to say."""

from __future__ import annotations

import pytest

from voicefleet_models.likely import BONUS, Phrases
from voicefleet_models.moonshine import Tokens

pytestmark = pytest.mark.unit


def worth(phrases: Phrases, tokens: list[int], *, joined: tuple[int, ...] = ()) -> float:
    """Of a path through `tokens`; those at the places `joined` begin no word."""
    state, total = 0, 0.0
    for place, token in enumerate(tokens):
        state, step = phrases.step(state, token, begins_word=place not in joined)
        total += step
    return total


def test_a_phrase_is_worth_its_tokens() -> None:
    assert worth(Phrases([[1, 2, 3]]), [1, 2, 3]) == 3 * BONUS


def test_what_a_phrase_has_gained_is_taken_back_where_it_breaks_off() -> None:
    assert worth(Phrases([[1, 2, 3]]), [1, 2, 9]) == 0
    assert worth(Phrases([[1, 2, 3], [4]]), [1, 2, 4]) == BONUS


def test_a_shorter_phrase_on_the_way_is_kept() -> None:
    phrases = Phrases([[1], [1, 2, 3]])
    assert worth(phrases, [1, 2, 9]) == BONUS


def test_a_phrase_has_not_ended_within_a_word() -> None:
    """ "Mon" is likely, "Money" is not."""
    assert worth(Phrases([[1]]), [1, 9]) == BONUS
    assert worth(Phrases([[1]]), [1, 9], joined=(1,)) == 0


def vocabulary(*tokens: str) -> Tokens:
    """`<unk>`, the marks for beginning and end, and these."""
    file = b""
    for token in ("<unk>", "<s>", "</s>", *tokens):
        raw = token.encode()
        file += bytes([len(raw)]) + raw
    return Tokens(file)


def test_text_is_cut_into_the_tokens_that_merge_first() -> None:
    tokens = vocabulary("a", "b", "▁", "▁a", "ab", ".")
    assert tokens.of("ab") == [6, 4]
    assert tokens.text([1, 6, 4, 8, 2]) == "ab."
    assert [tokens.begins_word[number] for number in (6, 4, 8, 2)] == [True, False, True, True]


def test_a_long_token_has_a_length_of_two_bytes() -> None:
    """The lower seven bits first, as in a varint."""
    file = b"\x01a\x01b\x01c" + bytes([128 + 200 % 128, 200 // 128]) + b"x" * 200 + b"\x01z"
    assert Tokens(file).text([3, 4]) == "x" * 200 + "z"
