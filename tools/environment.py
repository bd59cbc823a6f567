"""Create .venv from requirements.lock, or resolve requirements.in into a new lock.

Standard library only: it runs before anything is installed. Called by the Makefile as
`python3.11 tools/environment.py install` and `... lock [--upgrade]`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import re
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
REQUIREMENTS = ROOT / "requirements.in"
PYPROJECT = ROOT / "pyproject.toml"
CONDA = ROOT / "environment.yml"
STAMP = VENV / "asclib-ready"

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


def resolve(upgrade: bool) -> dict[str, str]:
    """Names and versions that satisfy requirements.in, as pip resolves them.

    Versions in the present lock are kept unless `upgrade`; nothing is installed.
    """
    torch = re.search(r"^torch==\S+", REQUIREMENTS.read_text(), re.MULTILINE).group()
    build = tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]
    keep = [] if upgrade or not LOCK.exists() else ["-c", str(LOCK)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        python("-m", "pip", "--disable-pip-version-check", "install", "--dry-run",
               "--ignore-installed", "--report", str(report), *keep,
               "-r", str(REQUIREMENTS), torch, *build)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    # A wheel built for the CPU says so after a plus sign; a reader's may say something else.
    return {item["name"]: item["version"].split("+")[0] for item in found}


def lock(upgrade: bool) -> None:
    """Write requirements.lock and environment.yml from requirements.in."""
    install()
    versions = resolve(upgrade)
    pins = [f"{name}=={versions[name]}" for name in sorted(versions, key=str.lower)]
    LOCK.write_text("\n".join(pins) + "\n")
    CONDA.write_text("\n".join([
        "# For conda users; `make lock` writes it. Plain `make` needs only Python 3.11.",
        "name: asclib", "channels:", "  - conda-forge", "dependencies:", "  - python=3.11",
        "  - pip", "  - pip:", *(f"    - {pin}" for pin in pins), "    - -e .",
    ]) + "\n")
    print(f"{LOCK.name} and {CONDA.name}: {len(pins)} packages")


def main() -> None:
    """Read the command line."""
    if sys.version_info[:2] != (3, 11):
        sys.exit("This book needs Python 3.11, and this is " + sys.version.split()[0] + ".")
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
