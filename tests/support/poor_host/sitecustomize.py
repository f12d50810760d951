"""Makes the file system slow below a folder for Python's processes that find this on their path, as they start.

Each call that opens, makes, lists, moves or removes something there takes as much longer as the environment says. It
stands for a busy server of files; a real one would need a driver of the kernel that not each machine has.
"""

import os
import select
import sys
import time

SLOWED = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def _slow(event: str, arguments: tuple[object, ...]) -> None:
    if event in SLOWED and str(arguments[0]).startswith(FOLDER):
        time.sleep(SECONDS)


if "FAKETIME" in os.environ:
    # libfaketime 0.9.10 breaks the call that Python's own makes where the monotonic clock is left as it is.
    time.sleep = lambda seconds: select.select([], [], [], seconds) and None

if "FLY64DASK_TEST_SLOW" in os.environ:
    word, _, FOLDER = os.environ["FLY64DASK_TEST_SLOW"].partition(":")
    SECONDS = float(word)
    sys.addaudithook(_slow)
