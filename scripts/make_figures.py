"""Make the pictures and the generated tables of the documentation, and say which of them are stale.

python scripts/make_figures.py --list                # names, minutes, and what is stale
python scripts/make_figures.py closed_loop setups    # these; without a name all, which takes an hour on two cores
python scripts/make_figures.py engine                # its tables, from docs/measurements/engine.json as it is
python scripts/make_figures.py engine --measure      # measures first, which writes that file
python scripts/make_figures.py demo --star FILE      # with the measured scan of data/star.toml

docs/figures.toml says which command makes which picture and table, and of what. In figures.json beside it
are digests of what was made and of what it was made from, which a test compares. Look at a picture before you keep it.
A run in the folder of the runs is used as it is: remove it for numbers of the code as it is now.

A measurement is a file in docs/measurements, which holds digests of the code that was measured. Its tables are compared
with it word for word, and the digests with the code as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from acceptance.page import part_of, with_part
from measured_tables import MeasuredTable, older_than, trim, written  # which finds the next one
from measuring import code_content, digest

from fly64dask.base import Frozen

ROOT = Path(__file__).resolve().parents[1]

REGISTRY = ROOT / "docs" / "figures.toml"
LEDGER = REGISTRY.with_suffix(".json")
STAR_SCAN = "{star}"


class Figure(Frozen):
    """Pictures and tables that some commands make.

    Attributes
    ----------
    name : str
        What the command line calls it.
    commands : tuple of str
        Arguments of Python, run from the repository's root in this order; `{runs}` is the folder of runs, `{star}` the
        measured scan.
    minutes : float
        Wall time on two cores.
    pictures : tuple of str
        Files that they write.
    tables : tuple of str
        `PAGE#PART` for each Markdown table that they print, in order: it is put between the markers of that part on the
        page of that name, in whichever folder of docs it is.
    inputs : tuple of str
        Files and folders that decide what comes out: studies, measurements, the code that computes and draws, the files
        of a page.
    measure : str
        Arguments of Python that measure and write `measurement`.
    measurement : str
        JSON file with figures.
    measures : tuple of str
        Modules and folders of the package whose change makes the measurement stale.
    written : tuple of MeasuredTable
        Tables that are written from the measurement.
    """

    name: str
    minutes: float
    commands: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    measure: str = ""
    measurement: str = ""
    measures: tuple[str, ...] = ()
    written: tuple[MeasuredTable, ...] = ()

    def parts(self) -> dict[str, str]:
        """Give each table that the measurement says, by its place."""
        return written(json.loads((ROOT / self.measurement).read_text(encoding="utf-8")), self.written)


def main() -> int:
    """Make what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures = {figure.name: figure for figure in read_registry()}
    parser.add_argument("names", nargs="*", choices=[[], *figures], metavar="NAME", help="of a figure; all if none")
    parser.add_argument("--list", action="store_true", help="names, minutes, and what is stale; makes nothing")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "figures", help="folder of runs")
    parser.add_argument("--star", type=Path, help="measured scan; what needs it is left out without")
    parser.add_argument("--measure", action="store_true", help="measure anew what is written from a measurement")
    parser.add_argument("--keep", action="store_true", help="make nothing, but take what is there for up to date")
    arguments = parser.parse_args()
    if arguments.list:
        for figure in figures.values():
            print(f"{figure.name:20} {figure.minutes:6.1f} min  {'; '.join(complaints(figure)) or 'up to date'}")
        return 0
    for figure in [figures[name] for name in arguments.names or figures]:
        if arguments.measure and figure.measure:
            run_python(figure, figure.measure)
        if figure.written:
            trim(ROOT / figure.measurement, figure.measures, is_new=arguments.keep)
            put(figure.parts())
        elif arguments.keep or make(figure, arguments.runs, arguments.star):
            record(figure)
        else:
            print(f"{figure.name}: left out, it needs --star")
    return 0


def read_registry() -> list[Figure]:
    """Read what there is to make."""
    found = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))["figures"]
    return [Figure.model_validate(one) for one in found]


def make(figure: Figure, runs: Path, star: Path | None) -> bool:
    """Run the commands of a figure and put its tables into their pages; False if it needs a scan that is not given."""
    if star is None and any(STAR_SCAN in command for command in figure.commands):
        return False
    printed = ""
    for command in figure.commands:
        places = {"{runs}": shlex.quote(str(runs)), STAR_SCAN: shlex.quote(str(star))}
        for word, path in places.items():
            command = command.replace(word, path)
        printed += run_python(figure, command)
    tables = re.findall(r"^\|.*(?:\n\|.*)*", printed, re.MULTILINE)
    if len(tables) < len(figure.tables):
        raise SystemExit(f"{figure.name}: {len(tables)} tables printed, {len(figure.tables)} needed; see {REGISTRY}")
    put(dict(zip(figure.tables, tables, strict=False)))
    return True


def run_python(figure: Figure, arguments: str) -> str:
    """Run a command of a figure from the repository's root; what it prints."""
    words = shlex.split(arguments)
    print(f"{figure.name}: python {shlex.join(words)}", flush=True)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return f"{done.stdout}\n"


def put(parts: Mapping[str, str]) -> None:
    """Put tables between the markers of their places."""
    for place, table in parts.items():
        path, part = place_of(place)
        path.write_text(with_part(path.read_text(encoding="utf-8"), part, table), encoding="utf-8")


def record(figure: Figure) -> None:
    """Write down what a figure is now, and what it was made from."""
    ledger = read_ledger()
    ledger[figure.name] = {"made": made(figure), "from": sources(figure)}
    LEDGER.write_text(json.dumps(dict(sorted(ledger.items())), indent=1) + "\n", encoding="utf-8")


def read_ledger() -> dict[str, dict[str, dict[str, str]]]:
    """Read what was written down: for each figure digests of what it is, and of what it was made from."""
    if not LEDGER.exists():
        return {}
    ledger: dict[str, dict[str, dict[str, str]]] = json.loads(LEDGER.read_text(encoding="utf-8"))
    return ledger


def complaints(figure: Figure) -> Iterator[str]:
    """Say what of a figure is not as its commands made it, or would be made anew of other inputs."""
    if figure.written:
        yield from (f"stale: {name}" for name in older_than(ROOT / figure.measurement, figure.measures))
        for place, table in figure.parts().items():
            path, part = place_of(place)
            if part_of(path.read_text(encoding="utf-8"), part) != table:
                yield f"not what {figure.measurement} says: {place}"
        return
    known = read_ledger().get(figure.name, {"made": {}, "from": {}})
    for what, now, then in (
        ("changed by hand", made(figure), known["made"]),
        ("stale", sources(figure), known["from"]),
    ):
        for name in sorted(now.keys() | then.keys()):
            if now.get(name) != then.get(name):
                yield f"{what}: {name}"


def made(figure: Figure) -> dict[str, str]:
    """Give a digest of each picture and table that is in the repository."""
    pictures = [picture for picture in figure.pictures if (ROOT / picture).exists()]
    digests = {picture: digest((ROOT / picture).read_bytes()) for picture in pictures}
    for place in figure.tables:
        path, part = place_of(place)
        digests[place] = digest(part_of(path.read_text(encoding="utf-8"), part).encode())
    return digests


def place_of(table: str) -> tuple[Path, str]:
    """Find the page of a generated table, and its part there."""
    name, _, part = table.partition("#")
    (page,) = pages_of(name)
    return page, part


def pages_of(pattern: str) -> list[Path]:
    """Find pages of the documentation by their names."""
    return sorted(path for path in (ROOT / "docs").rglob(pattern) if "_build" not in path.parts)


def sources(figure: Figure) -> dict[str, str]:
    """Give a digest of each script and input of a figure, whatever their comments and layout."""
    scripts = (word for command in figure.commands for word in shlex.split(command) if word.startswith("scripts/"))
    paths = [ROOT / name for name in (*dict.fromkeys(scripts), *figure.inputs)]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    named = {file.relative_to(ROOT).as_posix(): file for file in files if file.is_file()}
    return {name: digest(content(file)) for name, file in named.items() if "__pycache__" not in file.parts}


def content(path: Path) -> bytes:
    """Give what a file says: code without its comments and docstrings, the values of a TOML file, other files whole."""
    if path.suffix == ".toml":
        return json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), sort_keys=True, default=str).encode()
    return code_content(path) if path.suffix == ".py" else path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
