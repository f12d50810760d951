"""What a reconstruction changes for its whole process, put back when it ends."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from ptychi import maths, utils
from tqdm import tqdm

# A job script may set them; pty-chi would start torch.distributed for them and fail.
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@contextmanager
def settings_put_back(n_threads: int) -> Iterator[None]:
    """Let this process run one reconstruction while the block lasts; afterwards all settings are as before.

    pty-chi keeps dtype, default device and the precision of transforms for the whole process, and draws from the random
    streams that torch, NumPy and Python have once. Its progress bar, shown or not, makes a lock between processes that
    a killed process never gives back to the system; bars of one process need none.
    """
    with ExitStack() as stack:
        stack.callback(os.environ.update, {name: os.environ[name] for name in RANK_VARIABLES if name in os.environ})
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        device = torch.get_default_device()
        # Without a default device the CPU is taken, and each call of torch is quicker.
        stack.callback(torch.set_default_device, None if device.type == "cpu" else device)
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        stack.callback(utils.set_default_complex_dtype, utils.get_default_complex_dtype())
        stack.callback(maths.set_use_double_precision_for_fft, maths.get_use_double_precision_for_fft())
        stack.callback(maths.set_allow_nondeterministic_algorithms, maths.get_allow_nondeterministic_algorithms())
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # asking a GPU for its state would start it
            stack.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(random.setstate, random.getstate())
        # `logging.info` of pty-chi gives the root logger a handler if it has none.
        stack.callback(_set_root_handlers, logging.getLogger().handlers.copy())
        stack.enter_context(_bars_of_one_process())
        for name in RANK_VARIABLES:
            os.environ.pop(name, None)
        torch.set_num_threads(n_threads)
        yield


@contextmanager
def _bars_of_one_process() -> Iterator[None]:
    """Give progress bars a lock between threads alone; afterwards they have the lock of before, or none yet.

    tqdm has a function that sets the lock and none that says whether there is one: to ask for it would make it. So
    would the thread that looks after bars every 10 s from the first one on, also later: none is started.
    """
    before, lock, interval_s = vars(tqdm).get("_lock"), threading.RLock(), tqdm.monitor_interval
    tqdm.set_lock(lock)
    tqdm.monitor_interval = 0
    try:
        yield
    finally:
        tqdm.monitor_interval = interval_s
        if before is not None:
            tqdm.set_lock(before)
        elif vars(tqdm).get("_lock") is lock:  # of a tqdm that keeps it elsewhere it stays
            del tqdm._lock


def _set_root_handlers(handlers: list[logging.Handler]) -> None:
    logging.getLogger().handlers[:] = handlers
