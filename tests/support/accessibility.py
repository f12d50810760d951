"""What axe-core, the usual judge of a page's accessibility, holds against what a browser shows."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

import pytest
from browser import Page

# Its `minor` and `moderate` findings are advice.
LEVELS = ("serious", "critical")
# A colour on its way to another one is nobody's choice. A sheet made by a script is one that the page's policy allows.
STILL = """
(() => {
  const still = new CSSStyleSheet();
  still.replaceSync("* { transition: none !important }");
  document.adoptedStyleSheets.push(still);
})()
"""
RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
  .filter(({impact}) => %s.includes(impact))
  .flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html.slice(0, 200)}: ${failureSummary}`)))
"""


def axe_violations(page: Page) -> list[str]:
    """Violations of level serious or above on the page that is shown, each with its element and what to do."""
    page.evaluate(f"{STILL}; {_axe_script()}; 0")
    return page.evaluate(RUN % list(LEVELS))


@functools.cache
def _axe_script() -> str:
    # Found, not imported: of the package only the script is wanted, and its import would load Playwright.
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs axe-core: axe-playwright-python of the extra `dev`")
        pytest.skip("no axe-core here: install axe-playwright-python")
    return Path(package.origin).with_name("axe.min.js").read_text()
