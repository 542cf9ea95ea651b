"""Takes out each handling of a failure, and sees the tests that inject the failure fail.

A file beside this one is a list of mutants, a row of docs/failures.md or a part of one each:

    - what: who cuts in                       # the failure
      without: the pause                      # the handling that is taken out
      edits: [{file: agent/src/…, old: …, new: …}]
      tests: [tests/unit/agent/test_turns.py::test_…]

`old` stands in its file exactly once; each of `tests` must pass as things are and fail with the
edits. The working tree stays as it is: a changed copy of the package goes before it on PYTHONPATH.
Exit code 1 says that a mutant survived, 2 that one does not fit the code any more.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).resolve().parents[2]
_FAILED = re.compile(r"^FAILED ", re.MULTILINE)
"""In pytest's summary, for a test that failed itself; a fixture that does is an error."""


class Unfit(Exception):
    """A mutant that the code has outgrown; the text says why."""


class Edit(BaseModel):
    """One change of one file."""

    model_config = ConfigDict(extra="forbid")

    file: str
    old: str
    new: str

    @property
    def source(self) -> Path:
        """The folder that is on the path of Python: `<room>/src`."""
        return Path(*Path(self.file).parts[:2])


class Mutant(BaseModel):
    """One handling, taken out."""

    model_config = ConfigDict(extra="forbid")

    what: str
    without: str
    edits: list[Edit]
    tests: list[str]

    def __str__(self) -> str:
        return f"{self.what}: without {self.without}"

    @contextmanager
    def applied(self) -> Iterator[str]:
        """The changed packages in a folder of their own, for PYTHONPATH. Raises `Unfit`."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            sources = {edit.source for edit in self.edits}
            for source in sources:
                shutil.copytree(ROOT / source, Path(folder) / source)
            # A package may look for the checkout that it is part of.
            for part in {Path(), *(source.parent for source in sources)}:
                _link_others(ROOT / part, Path(folder) / part)
            for edit in self.edits:
                file = Path(folder) / edit.file
                text = file.read_text()
                if text.count(edit.old) != 1:
                    raise Unfit(f"{self}: {text.count(edit.old)} times in {edit.file}: {edit.old}")
                file.write_text(text.replace(edit.old, edit.new))
            yield os.pathsep.join(str(Path(folder) / source) for source in sources)


def _link_others(there: Path, here: Path) -> None:
    """All of `there` that is not copied to `here`."""
    for entry in there.iterdir():
        if not (here / entry.name).exists():
            (here / entry.name).symlink_to(entry)


def known(names: Sequence[str]) -> list[Mutant]:
    """Those of the files of these names; of all, where none is named."""
    folder = Path(__file__).parent
    files = [folder / f"{name}.yaml" for name in names] or sorted(folder.glob("*.yaml"))
    return [Mutant(**entry) for file in files for entry in yaml.safe_load(file.read_text())]


def pytest(tests: Sequence[str], path: str = "") -> tuple[int, str]:
    """Its exit code and output; tests run with the packages in `path` first."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    own = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="mutant-") as examples:
        # What a mutant fails with is nothing to try first the next time.
        environment = {**os.environ, **own, "HYPOTHESIS_STORAGE_DIRECTORY": examples}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def survivors(mutant: Mutant) -> list[str]:
    """Its tests that passed all the same. Raises `Unfit` where one did not run."""
    passed = []
    with mutant.applied() as path:
        for test in mutant.tests:
            code, said = pytest([test], path)
            if code and not _FAILED.search(said):
                raise Unfit(f"{mutant}: {test} did not run: {said[-800:]}")
            if code == 0:
                passed.append(test)
    return passed


def _place(test: str) -> tuple[str, int]:
    """Where it stands: a file's tests may rely on their order."""
    file, _, name = test.partition("::")
    return file, (ROOT / file).read_text().index(f"def {name.partition('[')[0]}(")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Which mutants do the tests catch?")
    parser.add_argument("names", nargs="*", help="files of mutants, without .yaml (default: all)")
    parser.add_argument("--like", default="", help="only mutants whose text has this in it")
    parser.add_argument("--jobs", type=int, default=1, help="at the same time (default: 1)")
    arguments = parser.parse_args()
    mutants = [m for m in known(arguments.names) if arguments.like in str(m)]
    started, survived, unfit = time.monotonic(), 0, 0
    tests = {test for mutant in mutants for test in mutant.tests}
    code, said = pytest(sorted(tests, key=_place))
    if code:
        print(f"{said[-2000:]}\nthe tests do not pass as things are")
        return 2

    def tried(mutant: Mutant) -> list[str] | Unfit:
        try:
            return survivors(mutant)
        except Unfit as error:
            return error

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, found in zip(mutants, pool.map(tried, mutants), strict=True):
            if isinstance(found, Unfit):
                unfit += 1
                print(f"UNFIT    {found}")
            elif found:
                survived += 1
                print(f"SURVIVED {mutant}: {', '.join(found)} passed")
            else:
                print(f"caught   {mutant}")
            sys.stdout.flush()
    print(
        f"{len(mutants)} mutants: {len(mutants) - survived - unfit} caught, {survived} survived,"
        f" {unfit} do not fit; {time.monotonic() - started:.0f} s"
    )
    return 2 if unfit else int(bool(survived))


if __name__ == "__main__":
    sys.exit(main())
