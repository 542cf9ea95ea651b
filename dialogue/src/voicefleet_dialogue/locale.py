"""The words of one language: what callers say and what the agent says, from `locales/*.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import yaml

_FOLDER = files("voicefleet_dialogue") / "locales"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: here "no" and "on" are words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


class Locale:
    """A locale's patterns, compiled on first use, and sentences; shared, so never changed."""

    def __init__(self, tag: str) -> None:
        language, _, region = tag.partition("-")
        if not (_FOLDER / f"{language}.yaml").is_file():
            raise KeyError(f"no language {language!r}; there are {', '.join(languages())}")
        self.language = language
        self.region = region or {"en": "US", "es": "ES"}[language]
        self.data: dict[str, Any] = yaml.load(
            (_FOLDER / f"{language}.yaml").read_text(encoding="utf-8"),
            Loader=_Loader,  # noqa: S506 - a safe one
        )
        self._compiled: dict[str, list[re.Pattern[str]]] = {}

    @cached_property
    def _parts(self) -> Mapping[str, str]:
        return {
            "{weekday}": f"(?:{'|'.join(self.data['weekdays'])})",
            "{month}": f"(?:{'|'.join(self.data['months'])})",
            "{year}": self.data["years"],
        }

    def compile(self, pattern: str) -> re.Pattern[str]:
        """A pattern of the data with `{weekday}` and the like filled in."""
        for mark, value in self._parts.items():
            pattern = pattern.replace(mark, value)
        return re.compile(pattern)

    def patterns(self, *path: str) -> list[re.Pattern[str]]:
        """The compiled patterns under that path of the data."""
        key = "/".join(path)
        if key not in self._compiled:
            node: Any = self.data
            for step in path:
                node = node[step]
            found: Iterable[Any] = [node] if isinstance(node, str) else node
            self._compiled[key] = [
                self.compile(item if isinstance(item, str) else item[0]) for item in found
            ]
        return self._compiled[key]

    def matches(self, text: str, *path: str) -> bool:
        """Whether any pattern under that path is found in the text."""
        return any(pattern.search(text) for pattern in self.patterns(*path))

    def alternatives(self, kind: str, word: str) -> int:
        """Which weekday (0: Monday) or month (0: January) a word names."""
        return next(
            index
            for index, entry in enumerate(self.data[kind])
            if re.fullmatch(entry, word, re.IGNORECASE)
        )

    def say(self, key: str, **values: str) -> str:
        """A sentence of the agent's."""
        text: str = self.data["say"][key]
        return text.format(**values)


def languages() -> list[str]:
    """Those that we have words for."""
    return sorted(f.name.removesuffix(".yaml") for f in _FOLDER.iterdir() if f.is_file())


@cache
def load(tag: str) -> Locale:
    """A locale such as en-US; raises KeyError where there are no words for its language."""
    return Locale(tag)
