"""What firmware is compiled and run with in tests: a test skips without it, or must not."""

from __future__ import annotations

import os
import shutil

import pytest

CHIP = ("make", "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
PACKAGES = "clang lld gcc-arm-none-eabi qemu-system-arm chromium"


def need(*programs: str) -> None:
    """Skip the test where a program is missing; fail where ASCLIB_REQUIRE_DEPLOY is set."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        _missing(f"{', '.join(missing)} not found; Debian's packages are {PACKAGES}")


def need_reference() -> None:
    """The same for TensorFlow Lite Micro's interpreter."""
    try:
        import tflite_micro  # noqa: F401
    except ImportError as error:
        _missing(f"no tflite-micro, which has wheels for Linux on x86-64: {error}")


def _missing(reason: str) -> None:
    if os.environ.get("ASCLIB_REQUIRE_DEPLOY"):
        pytest.fail(f"ASCLIB_REQUIRE_DEPLOY is set, and {reason}", pytrace=False)
    pytest.skip(reason)
