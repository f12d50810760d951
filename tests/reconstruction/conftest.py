"""Tests of the engine run on one thread, as workers do: two threads on busy cores take three times as long."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
