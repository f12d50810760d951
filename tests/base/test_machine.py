"""GPUs as NVIDIA's driver lists them: the driver's own library is replaced, as there is none on most machines."""

from __future__ import annotations

import pynvml
import pytest

from fly64dask.base import GpuMissingError, gpu_memory_bytes, installed_gpus, visible_gpus


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    installed_gpus.cache_clear()
    yield
    installed_gpus.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch):
    """A driver with two GPUs of 16 and 80 GiB, whose handles are their numbers."""

    class Memory:
        def __init__(self, total: int) -> None:
            self.total = total

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda index: ("GPU-4a1b", "GPU-77c0")[index])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda index: ("small", "large")[index])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda index: Memory((16, 80)[index] * 2**30))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", failing(pynvml.NVML_ERROR_NOT_SUPPORTED))


@pytest.fixture
def one_is_cut(two_gpus, monkeypatch):
    """The same, and the second device is cut into slices of 10 and 20 GiB, in the first and the third of its places."""
    slices = {0: ("MIG-11", 10), 2: ("MIG-22", 20)}
    uuid, name = pynvml.nvmlDeviceGetUUID, pynvml.nvmlDeviceGetName
    memory = pynvml.nvmlDeviceGetMemoryInfo

    def slice_at(index: int, place: int):
        if place not in slices:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return slices[place]

    def memory_of(handle: object) -> object:
        if isinstance(handle, tuple):
            found = memory(0)
            found.total = handle[1] * 2**30
            return found
        return memory(handle)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda index: [index, index])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMaxMigDeviceCount", lambda index: 7)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigDeviceHandleByIndex", slice_at)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda of: of[0] if isinstance(of, tuple) else uuid(of))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda of: "slice" if isinstance(of, tuple) else name(of))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", memory_of)


def failing(code: int):
    def fail(*handles: object) -> None:
        raise pynvml.NVMLError(code)

    return fail


def test_visible_gpus_are_all_of_the_driver(two_gpus):
    assert visible_gpus() == ("0", "1")


@pytest.mark.parametrize(("value", "expected"), [("1", ("1",)), ("", ()), ("-1", ()), ("GPU-4a, 0", ("GPU-4a", "0"))])
def test_visible_gpus_are_those_of_the_environment(two_gpus, monkeypatch, value, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == expected


def test_gpu_memory_bytes_knows_gpus_by_index_and_by_the_beginning_of_a_uuid(two_gpus):
    assert gpu_memory_bytes(("1", "GPU-4a", "MIG-1")) == {"1": 85899345920, "GPU-4a": 17179869184}


def test_visible_gpus_are_the_slices_of_a_device_that_is_cut(one_is_cut):
    assert visible_gpus() == ("0", "MIG-11", "MIG-22")


def test_gpu_memory_bytes_of_a_slice_is_its_own(one_is_cut):
    assert gpu_memory_bytes(("MIG-22", "MIG-11")) == {"MIG-11": 10 * 2**30, "MIG-22": 20 * 2**30}


def test_gpu_memory_bytes_leaves_out_a_device_whose_memory_the_driver_does_not_know(two_gpus, monkeypatch):
    """`nvidia-smi` shows [N/A] there."""
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", failing(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert visible_gpus() == ("0", "1")
    assert gpu_memory_bytes(("0", "1")) == {}


def test_visible_gpus_are_none_without_a_driver(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", failing(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert visible_gpus() == ()
    assert gpu_memory_bytes(("0",)) == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "RM has detected an NVML/RM version mismatch"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_visible_gpus_says_that_a_driver_fails(monkeypatch, code, words):
    monkeypatch.setattr(pynvml, "nvmlInit", failing(code))
    with pytest.raises(GpuMissingError, match=rf"NVIDIA's driver is installed.*{words}.*--device cpu"):
        visible_gpus()
