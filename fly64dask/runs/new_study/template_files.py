"""The study files that come with the package, as templates of new ones."""

from __future__ import annotations

from pathlib import Path

# In a checkout these are links to files in data/, in an installed package copies of them.
_FOLDER = Path(__file__).parent / "templates"
TEMPLATES = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def template_text(template: str) -> str:
    """Read the study file that has been made a template of this name."""
    return (_FOLDER / f"{template}.toml").read_text(encoding="utf-8")
