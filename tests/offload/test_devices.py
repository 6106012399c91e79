from __future__ import annotations

import ctypes
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sus_local.backend import ggml_devices
from sus_local.backend.ggml_devices import Device
from sus_local.errors import BackendError
from sus_local.machine import system_memory
from sus_local.offload import devices

CPU = Device("CPU", "", "CPU", "cpu", 1, 1)
CUDA = Device("CUDA0", "a GPU", "CUDA", "gpu", 1, 1)
NVIDIA = ["NVIDIA GeForce RTX 4090"]


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(command: list[str]) -> list[str]:
        return NVIDIA if command[0] == "nvidia-smi" else []

    monkeypatch.setattr(devices, "_lines", answer)


def test_main_memory_is_the_last_device() -> None:
    found = devices.find_devices()
    assert found[-1].kind == "cpu"
    assert [device.kind for device in found].count("cpu") == 1
    assert 0 < found[-1].free_bytes <= found[-1].total_bytes == system_memory().total_bytes


def test_cpu_features_are_those_of_this_build() -> None:
    assert set(ggml_devices.cpu_features()) & {"AVX2", "NEON", "SSE3", "LLAMAFILE"}


def test_importing_the_devices_does_not_import_llama_cpp() -> None:
    code = "import sys, sus_local.offload.plan, sus_local.offload.devices; "
    code += "print(sorted({'llama_cpp', 'numpy', 'gguf', 'psutil'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_devices_are_added_to_the_library_that_models_run_in() -> None:
    """Wheels hold each library twice; a server told to the other copy would compute nothing."""
    from llama_cpp.llama_cpp import _lib

    name = "ggml_backend_register"
    if not hasattr(_lib, name):
        pytest.skip("this system finds a function only in the library that exports it")
    mine, of_models = ggml_devices._functions()[name], getattr(_lib, name)
    address = ctypes.c_void_p
    assert ctypes.cast(mine, address).value == ctypes.cast(of_models, address).value


def test_rpc_servers_need_a_build_with_rpc() -> None:
    if ggml_devices._call("ggml_backend_reg_by_name", b"RPC"):
        pytest.skip("this llama.cpp was built with RPC")
    with pytest.raises(BackendError, match="without RPC") as caught:
        ggml_devices.add_rpc_servers(["127.0.0.1:1"])
    assert caught.value.hint == ggml_devices.reinstall_command("RPC")


@pytest.mark.usefixtures("nvidia")
def test_a_gpu_that_the_build_lacks_comes_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    missing = devices.missing_gpu([CPU])
    version = ggml_devices.llama_cpp_version()
    assert missing is not None
    assert missing.name == NVIDIA[0]
    assert str(missing).endswith(
        f'CMAKE_ARGS="-DGGML_CUDA=on" {shlex.quote(sys.executable)} -m pip install '
        f"--force-reinstall --no-cache-dir --no-deps llama-cpp-python=={version}"
    )


@pytest.mark.usefixtures("nvidia")
def test_it_is_told_once_for_each_llama_cpp(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for version in ("0.3.1", "0.3.1", "0.3.2"):
        monkeypatch.setattr(ggml_devices, "llama_cpp_version", lambda told=version: told)
        devices.tell_missing_gpu([CUDA, CPU])
        devices.tell_missing_gpu([CPU])
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert all(record.getMessage().startswith(NVIDIA[0]) for record in caplog.records)


@pytest.mark.usefixtures("nvidia")
def test_where_nothing_can_be_remembered_it_is_told_again(
    isolated_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (isolated_home / "gpu-checked").unlink()
    (isolated_home / "gpu-checked").mkdir()
    for _ in range(2):
        devices.tell_missing_gpu([CPU])
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("nvidia")
def test_a_gpu_that_is_used_is_not_missing() -> None:
    assert devices.missing_gpu([CUDA, CPU]) is None


@pytest.mark.parametrize(
    ("backend", "platform", "begin"),
    [
        ("Vulkan", "linux", "CMAKE_ARGS=\"-DGGML_VULKAN=on\" '/my venv/python' -m pip install "),
        ("Vulkan", "win32", '$env:CMAKE_ARGS="-DGGML_VULKAN=on"; & "/my venv/python" -m pip '),
        ("", "linux", "'/my venv/python' -m pip install --force-reinstall "),
        ("", "win32", '& "/my venv/python" -m pip install --force-reinstall '),
    ],
)
def test_the_command_is_for_this_python_and_the_shell_of_the_system(
    backend: str, platform: str, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/my venv/python")
    command = ggml_devices.reinstall_command(backend, platform=platform)
    assert command.startswith(begin)
    assert " --no-deps " in command


def test_libraries_that_cannot_be_loaded_come_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OSError("libllama.so is not there")

    monkeypatch.setattr(ggml_devices, "_libraries", refuse)
    with pytest.raises(BackendError, match=r"libllama\.so is not there") as caught:
        ggml_devices._functions.__wrapped__()
    assert caught.value.hint == f"reinstall it: {ggml_devices.reinstall_command()}"


def test_a_machine_without_gpus_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_present_gpus", lambda: ())
    assert devices.missing_gpu([CPU]) is None


def test_a_program_that_fails_tells_of_no_gpu() -> None:
    assert devices._lines([sys.executable, "-c", "raise SystemExit(1)"]) == []
    assert devices._lines(["no-such-program-anywhere"]) == []


@pytest.mark.gpu
def test_a_gpu_tells_its_memory() -> None:
    gpus = [device for device in devices.find_devices() if device.holds_layers]
    if not gpus:
        pytest.skip("llama.cpp finds no GPU on this machine")
    assert all(0 < gpu.free_bytes <= gpu.total_bytes for gpu in gpus)
