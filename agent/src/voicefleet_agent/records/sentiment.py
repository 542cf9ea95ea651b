"""How the caller seemed, by VADER's word list: the same words are always judged alike."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Literal

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

_CLEARLY = 0.3
"""Of VADER's compound score, which is from -1 to 1; its authors call 0.05 enough for a sentence."""


def judge(said: Iterable[str]) -> Literal["Positive", "Neutral", "Negative"]:
    """The mean over what has a tone at all. English; other languages are Neutral."""
    analyzer = SentimentIntensityAnalyzer()
    scores = [score for text in said if (score := analyzer.polarity_scores(text)["compound"])]
    mean = fmean(scores) if scores else 0.0
    return "Positive" if mean >= _CLEARLY else "Negative" if mean <= -_CLEARLY else "Neutral"
