"""Modules that a process keeps for good are loaded, and are searched for garbage neither then nor later."""

from __future__ import annotations

import subprocess
import sys


def test_modules_loaded_for_good_are_left_out_of_the_search_for_garbage_which_goes_on():
    code = """
import gc, sys
from fly64dask.base import load_for_good
assert "colorsys" not in sys.modules
load_for_good(["no_such_module", "colorsys"])
assert "colorsys" in sys.modules
assert gc.isenabled()
assert gc.get_freeze_count() > 1000
assert len(gc.get_objects()) < 1000
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_a_module_that_raises_as_it_is_imported_is_left_to_whoever_needs_it(tmp_path):
    (tmp_path / "broken.py").write_text('raise RuntimeError("compiled against another NumPy")\n')
    code = """
import sys
from fly64dask.base import load_for_good
load_for_good(["broken", "colorsys"])
assert "broken" not in sys.modules
assert "colorsys" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600, cwd=tmp_path)
