"""Moonshine's own models (tiny, English) with a decoder of ours: several readings, best first.

The library that they come with (`moonshine-voice`) gives one reading and takes no hint of what was
asked. Beam search over the same decoder tells what else was nearly as likely, prefers what a caller
is likely to say (`likely`), and is quicker. The models and their inputs are those of the Hugging
Face export (https://github.com/moonshine-ai/moonshine, "Moonshine: Speech Recognition for Live
Transcription and Voice Commands", 2024): an encoder, and a decoder with merged key-value cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from voicefleet_models.likely import FOREIGN, MOST_FOREIGN, Phrases

RATE = 16_000
"""Hz."""
BEAM = 4
_HEADS, _WIDTH = 8, 36
"""Of the tiny model's decoder."""
_PAST = "past_key_values"
_START, _END = 1, 2
_TOKENS_PER_SECOND = 6.5
"""Speech has no more; what has is a decoder that goes round in circles (Moonshine's own limit)."""
_SPACE = "\u2581"
_MARKS = frozenset(",.?!-':;\"0123456789")
_CLEAR_LOSS = 1.0
"""A reading that is so much less likely than one that has ended does not catch up."""
_HOPELESS = 3.0
"""A path that is so much less likely than the best is given up: clear speech needs only one."""
_WORTH_A_LOOK = -9.0
"""Log probability from which on a token of a likely phrase is tried, though others are likelier."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the sound."""

    text: str
    score: float
    """Log probability, with what the likely phrases are worth."""


@dataclass(frozen=True, slots=True)
class _Path:
    tokens: tuple[int, ...] = (_START,)
    score: float = 0.0
    state: int = 0
    """Of the likely phrases."""
    foreign: int = 0
    """Tokens that belong to none."""
    words: str = ""
    """Without punctuation, in small letters."""


class Moonshine:
    """Loaded when made; one transcription at a time."""

    def __init__(self, threads: int) -> None:
        folder = _models() / "tiny-en"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads

        def load(name: str) -> onnxruntime.InferenceSession:
            return onnxruntime.InferenceSession(
                folder / name, sess_options=options, providers=["CPUExecutionProvider"]
            )

        self._encoder = load("encoder_model.ort")
        self._decoder = load("decoder_model_merged.ort")
        self._tokens = Tokens((folder / "tokenizer.bin").read_bytes())

    def transcribe(
        self, samples: npt.NDArray[np.int16], likely: Sequence[str] = ()
    ) -> list[Reading]:
        """The best readings, the most likely first; one without text where there are no words."""
        audio = (samples / np.float32(32768))[None]
        mask = np.ones(audio.shape, np.int64)
        [heard] = self._encoder.run(None, {"input_values": audio, "attention_mask": mask})
        decoding = _Decoding(self._decoder, heard)
        phrases = Phrases(map(self._tokens.of, _written(likely)))
        limit = int(audio.shape[1] / RATE * _TOKENS_PER_SECOND) + 8
        ended: list[_Path] = []
        paths, sources = [_Path()], [0]
        while len(paths[0].tokens) < limit:
            odds = decoding.step(sources, [path.tokens[-1] for path in paths])
            found = sorted(self._continued(paths, odds, phrases), key=lambda one: -one[1].score)
            ended += [path for _, path in found if path.tokens[-1] == _END]
            going = _different(one for one in found if one[1].tokens[-1] != _END)
            best = max((path.score for path in ended), default=-np.inf)
            if not going or best > going[0][1].score + _CLEAR_LOSS:
                break
            going = [one for one in going if one[1].score > going[0][1].score - _HOPELESS]
            sources, paths = [source for source, _ in going], [path for _, path in going]
        readings: dict[str, float] = {}
        for path in sorted(ended or paths, key=lambda path: -path.score):
            readings.setdefault(self._tokens.text(path.tokens), path.score)
        return [Reading(text, score) for text, score in readings.items()][:BEAM]

    def _continued(
        self, paths: Sequence[_Path], odds: Floats, phrases: Phrases
    ) -> Iterator[tuple[int, _Path]]:
        """Every path by one token more, with the path's number; unlikely tokens are left out."""
        tokens = self._tokens
        for number, (path, row) in enumerate(zip(paths, odds, strict=True)):
            look = set(np.argpartition(row, -3 * BEAM)[-3 * BEAM :].tolist())
            look |= {token for token in phrases.tokens(path.state) if row[token] > _WORTH_A_LOOK}
            for token in look:
                begins = tokens.begins_word[token]
                state, worth = phrases.step(path.state, token, begins_word=begins)
                foreign = path.foreign + (state == 0 and not tokens.is_mark[token])
                if path.foreign < foreign <= MOST_FOREIGN:
                    worth -= FOREIGN
                score = path.score + float(row[token]) + worth
                words = path.words + tokens.plain[token]
                yield number, _Path((*path.tokens, token), score, state, foreign, words)


def _different(found: Iterable[tuple[int, _Path]]) -> list[tuple[int, _Path]]:
    """The best paths; of those that differ in punctuation alone only the better one."""
    kept: dict[str, tuple[int, _Path]] = {}
    for number, path in found:
        kept.setdefault(path.words, (number, path))
        if len(kept) == BEAM:
            break
    return list(kept.values())


class _Decoding:
    """The decoder over one encoded sound, with what it remembers of each path."""

    def __init__(self, decoder: onnxruntime.InferenceSession, heard: Floats) -> None:
        self._decoder = decoder
        self._heard = heard
        self._present = [output.name for output in decoder.get_outputs()][1:]
        nothing = np.zeros((1, _HEADS, 0, _WIDTH), np.float32)
        self._past = {name.replace("present", _PAST): nothing for name in self._present}
        self._of_sound: dict[int, dict[str, Floats]] = {}
        """The part that is the same at each step, by the number of paths."""

    def step(self, sources: Sequence[int], last: Sequence[int]) -> Floats:
        """Log probabilities [path, token] after each path's last token.

        `sources` has the number of the earlier path that each path goes on from.
        """
        count, first = len(sources), not self._of_sound
        if not first and count not in self._of_sound:
            self._of_sound[count] = {
                name: np.repeat(value, count, 0) for name, value in self._of_sound[1].items()
            }
        past = {name: value[list(sources)] for name, value in self._past.items()}
        past |= self._of_sound.get(count, {})
        logits, *present = self._decoder.run(
            ["logits", *self._present],
            {
                "encoder_attention_mask": np.ones((count, self._heard.shape[1]), np.int64),
                "input_ids": np.array(last, np.int64)[:, None],
                "encoder_hidden_states": np.repeat(self._heard, count, 0),
                "use_cache_branch": np.array([not first]),
                **past,
            },
        )
        self._past = {
            name.replace("present", _PAST): value
            for name, value in zip(self._present, present, strict=True)
        }
        if first:
            self._of_sound[1] = {n: value for n, value in self._past.items() if "encoder" in n}
            self._past = {n: value for n, value in self._past.items() if "decoder" in n}
            self._present = [name for name in self._present if "decoder" in name]
        row = logits[:, -1] - logits[:, -1].max(1, keepdims=True)
        odds: Floats = row - np.log(np.exp(row).sum(1, keepdims=True))
        return odds


def _written(likely: Sequence[str]) -> list[str]:
    """As in the middle and at the beginning of a sentence."""
    forms = (form for text in likely if text for form in (text, text[0].upper() + text[1:]))
    return list(dict.fromkeys(forms))


def _models() -> Path:
    """Where the wheel has them; importing it would load its library (42 MB)."""
    spec = find_spec("moonshine_voice")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets"


class Tokens:
    """Llama's vocabulary as Moonshine keeps it: a length (one byte, or two from 128 on) and the
    bytes of each token; a lower number merges first."""

    def __init__(self, file: bytes) -> None:
        self._bytes: list[bytes] = []
        at = 0
        while at < len(file):
            length, at = file[at], at + 1
            if length >= 128:
                length, at = (length - 128) + 128 * file[at], at + 1
            self._bytes.append(file[at : at + length])
            at += length
        self._numbers = {token: number for number, token in enumerate(self._bytes)}

    @cached_property
    def begins_word(self) -> list[bool]:
        """Of each token: a word begins with it, or the one before has ended."""
        space = _SPACE.encode()
        return [
            token.startswith(space) or mark or number == _END
            for number, (token, mark) in enumerate(zip(self._bytes, self.is_mark, strict=True))
        ]

    @cached_property
    def plain(self) -> list[str]:
        """Of each token: its letters and figures, small, with the space before a word."""
        texts = (token.decode(errors="replace").lower() for token in self._bytes)
        return ["".join(c for c in text if c.isalnum() or c == _SPACE) for text in texts]

    @cached_property
    def is_mark(self) -> list[bool]:
        """Of each token: punctuation, figures (how a number is written is no word), or the end."""
        return [
            number == _END or set(token.decode(errors="replace").strip(_SPACE)) <= _MARKS
            for number, token in enumerate(self._bytes)
        ]

    def of(self, text: str) -> list[int]:
        """The text's tokens, by byte pair encoding."""
        pieces = [letter.encode() for letter in _SPACE + text.replace(" ", _SPACE)]
        while True:
            pairs = [a + b for a, b in pairwise(pieces)]
            merges = [
                (self._numbers[pair], at) for at, pair in enumerate(pairs) if pair in self._numbers
            ]
            if not merges:
                return [self._numbers[piece] for piece in pieces if piece in self._numbers]
            _, at = min(merges)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]

    def text(self, tokens: Sequence[int]) -> str:
        """What the tokens say."""
        joined = b"".join(self._bytes[token] for token in tokens if token > _END)
        return joined.decode(errors="replace").replace(_SPACE, " ").strip()
