"""Tests of the engine run it as its own processes do: without what it never uses, and on one thread.

Two threads on busy cores take three times as long.
"""

from __future__ import annotations

import pytest
import torch

import fly64dask.reconstruction.lsqml.lazy_imports  # noqa: F401  # before anything imports pty-chi


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
