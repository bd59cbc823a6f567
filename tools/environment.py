"""Create .venv from requirements.lock, or resolve pyproject.toml's requirements into a new lock.

Standard library only: it runs before anything is installed. Called by the Makefile as
`python tools/environment.py install` and `... lock [--upgrade]`. Linux and macOS (on Windows,
inside WSL: the .tflite converter has no Windows build).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
PYPROJECT = ROOT / "pyproject.toml"
CONDA = ROOT / "environment.yml"
STAMP = VENV / "asclib-ready"

# The Pythons that can run the book, and the one whose resolution is the lock: what an old Python
# needs a newer one installs as well, but not the other way round.
PYTHONS = ((3, 11), (3, 12), (3, 13))
LOCKING = PYTHONS[0]
# What PyPI's torch brings on Linux alone; in the lock it would stop a Mac.
GPU = ("cuda-", "nvidia-", "triton")

# librosa's mel filters compile for half a minute, and matplotlib lists the fonts, on first use.
WARM_UP = """
import numpy, librosa, matplotlib.font_manager
librosa.feature.melspectrogram(y=numpy.zeros(8000, "float32"), sr=8000, n_fft=2048, n_mels=140)
librosa.resample(numpy.zeros(44100, "float32"), orig_sr=44100, target_sr=8000)
"""


def fingerprint() -> str:
    """What an installed .venv depends on: the lock, pyproject, this Python, the folder itself."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {VENV}\n".encode())
    digest.update(LOCK.read_bytes() + PYPROJECT.read_bytes())
    return digest.hexdigest()


def ready() -> bool:
    """Whether a finished set-up of exactly these files is in place."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


@contextmanager
def alone() -> Iterator[bool]:
    """Hold the set-up's lock; yields whether the previous holder was killed half-way.

    The lock file stays beside .venv and reads "unfinished" while a set-up is under way, so a
    kill is seen by the next one, and a .venv that somebody made by hand is not deleted.
    """
    with open(ROOT / ".venv.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is under way; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        killed = lock.read() == "unfinished"
        lock.truncate(0)
        lock.write("unfinished")
        lock.flush()
        yield killed
        lock.truncate(0)


def python(*arguments: str) -> None:
    """Run the environment's Python in the project's folder; raises CalledProcessError."""
    subprocess.run([str(VENV / "bin" / "python"), *arguments], check=True, cwd=ROOT)


def install() -> None:
    """Make .venv match requirements.lock; nothing happens where it does already."""
    if ready():
        return
    with alone() as killed:
        if ready():
            return
        STAMP.unlink(missing_ok=True)
        pip = ("-m", "pip", "--disable-pip-version-check", "install")
        if killed or not (VENV / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        print("Installing the packages of requirements.lock (minutes, about 3 GB).", flush=True)
        python(*pip, "-r", str(LOCK))
        python(*pip, "--no-deps", "--no-build-isolation", "-e", ".")
        print("Warming up librosa.", flush=True)
        python("-c", WARM_UP)
        STAMP.write_text(fingerprint())


def wanted() -> list[str]:
    """Every requirement in pyproject.toml: the package's, its extras', the build's.

    Without the extra `energy`, which is not in the lock.
    """
    content = tomllib.loads(PYPROJECT.read_text())
    extras = content["project"]["optional-dependencies"]
    return [
        *content["project"]["dependencies"],
        *(line for name, extra in extras.items() if name != "energy" for line in extra),
        *content["build-system"]["requires"],
    ]


def resolve(upgrade: bool) -> dict[str, str]:
    """Names and versions that satisfy pyproject.toml, as pip resolves them.

    Versions in the present lock are kept unless `upgrade`; nothing is installed.
    """
    keep = [] if upgrade or not LOCK.exists() else ["-c", str(LOCK)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        python(
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--report",
            str(report),
            *keep,
            *wanted(),
        )
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    # A wheel built for the CPU says so after a plus sign; a reader's may say something else.
    return {
        item["name"]: item["version"].split("+")[0]
        for item in found
        if not item["name"].startswith(GPU)
    }


def lock(upgrade: bool) -> None:
    """Write requirements.lock and environment.yml from pyproject.toml."""
    if sys.version_info[:2] != LOCKING:
        sys.exit("The lock is resolved with Python 3.11, and this is " + sys.version.split()[0])
    install()
    versions = resolve(upgrade)
    # what is for some machines alone is pinned in pyproject.toml, and stays as it is there
    given = {line.partition("==")[0]: line for line in wanted() if ";" in line}
    found = {name: f"{name}=={version}" for name, version in versions.items()}
    # packages call themselves with dashes or with underscores
    pinned = {name: line for name, line in found.items() if name.replace("_", "-") not in given}
    pinned |= given
    pins = [pinned[name] for name in sorted(pinned, key=str.lower)]
    LOCK.write_text("\n".join(pins) + "\n")
    CONDA.write_text(
        "\n".join(
            [
                "# For conda users; `make lock` writes it. Plain `make` needs only a Python.",
                "name: asclib",
                "channels:",
                "  - conda-forge",
                "dependencies:",
                "  - python=3.11",
                "  - pip",
                "  - pip:",
                *(f"    - {pin}" for pin in pins),
                "    - -e .",
            ]
        )
        + "\n"
    )
    print(f"{LOCK.name} and {CONDA.name}: {len(pins)} packages")


def main() -> None:
    """Read the command line."""
    if sys.version_info[:2] not in PYTHONS:
        sys.exit("This is Python " + sys.version.split()[0] + ", not 3.11, 3.12 or 3.13.")
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install")
    locking = commands.add_parser("lock")
    locking.add_argument("--upgrade", action="store_true", help="take the newest versions")
    arguments = parser.parse_args()
    try:
        install() if arguments.command == "install" else lock(arguments.upgrade)
    except subprocess.CalledProcessError as error:
        sys.exit(f"Set-up stopped: {error}\nThe lines above say why; the next try starts anew.")


if __name__ == "__main__":
    main()
