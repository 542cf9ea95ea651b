"""Who speaks: embeddings by Resemblyzer's weights (GE2E, https://arxiv.org/abs/1710.10467).

The package itself needs PyTorch for three small layers; the same sums are done here by numpy.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper.feature_extractor import FeatureExtractor

Array = npt.NDArray[np.float32]

RATE = 16_000
SAME = 0.9
"""Likeness from which on two recordings over the telephone are of one voice. Of 12 s each, in the
corpus of callers, one voice comes to 0.93 to 0.98, and two of Joe, Kumo and Gongitsune to 0.88 at
the most. Two women by Kokoro come to 0.94: it is no judge of those."""
_WINDOW, _STEP, _BANDS = 400, 160, 40
_FRAMES = 160
"""Of one partial utterance, 1.6 s; they overlap by half."""
_LAYERS, _SIZE = 3, 256
_LOUDNESS = 10 ** (-30 / 20)
"""RMS to which quiet speech is raised."""


class _Checkpoint(pickle.Unpickler):
    """PyTorch's format before 1.6: tensors name their storages, whose numbers come at the end."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, *_: (storage, offset, size)
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not in a checkpoint of ours")

    def persistent_load(self, pid: Any) -> str:
        return str(pid[2])


@cache
def _weights() -> dict[str, Array]:
    """Name -> array, such as `lstm.weight_ih_l0` (1024, 40)."""
    package = importlib.util.find_spec("resemblyzer")
    assert package is not None
    assert package.origin is not None
    with (Path(package.origin).parent / "pretrained.pt").open("rb") as file:
        for _ in ("magic number", "protocol", "system"):
            _Checkpoint(file).load()
        state = _Checkpoint(file).load()["model_state"]
        keys = _Checkpoint(file).load()
        storages: dict[str, Array] = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(4 * count), "<f4")
    return {
        name: storages[key][offset : offset + int(np.prod(size))].reshape(size)
        for name, (key, offset, size) in state.items()
    }


def _sigmoid(x: Array) -> Array:
    return np.asarray((1 + np.tanh(x / 2)) / 2, np.float32)


def _lstm(frames: Array, layer: int) -> Array:
    """(partials, frames, inputs) to (partials, frames, 256); gates in PyTorch's order."""
    weights = _weights()
    to_input, to_hidden, *biases = (
        weights[f"lstm.{kind}_l{layer}"]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    given = frames @ to_input.T + sum(biases)
    hidden = cell = np.zeros((len(frames), _SIZE), np.float32)
    made = []
    for at in range(frames.shape[1]):
        enters, forgets, new, leaves = np.split(given[:, at] + hidden @ to_hidden.T, 4, axis=1)
        cell = _sigmoid(forgets) * cell + _sigmoid(enters) * np.tanh(new)
        hidden = _sigmoid(leaves) * np.tanh(cell)
        made.append(hidden)
    return np.stack(made, axis=1)


def embedding(pcm: bytes) -> Array:
    """(256,), of length 1, of at least 1.6 s of 16-bit mono samples at 16 kHz."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    samples *= max(1.0, _LOUDNESS / float(np.sqrt(np.mean(samples**2))))
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    spectrum = FeatureExtractor.stft(
        samples, _WINDOW, _STEP, window=window, mode="constant", return_complex=True
    )
    bands = FeatureExtractor.get_mel_filters(RATE, _WINDOW, _BANDS).astype(np.float32)
    mel = (bands @ np.abs(spectrum) ** 2).T.astype(np.float32)
    starts = range(0, len(mel) - _FRAMES + 1, _FRAMES // 2)
    frames = np.stack([mel[start : start + _FRAMES] for start in starts])
    for layer in range(_LAYERS):
        frames = _lstm(frames, layer)
    weights = _weights()
    raw = np.maximum(frames[:, -1] @ weights["linear.weight"].T + weights["linear.bias"], 0)
    mean = np.mean(raw / np.linalg.norm(raw, axis=1, keepdims=True), axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def likeness(one: Array, other: Array) -> float:
    """Cosine, 0 to 1."""
    return float(one @ other)
