"""The library behind the book on low-complexity acoustic scene classification.

The public names are imported on first use: who only counts parameters waits for no audio library.
"""

import contextlib
import importlib
import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# tqdm warns on its first import, inside whatever cell that happens to be; the book has no widgets
# on purpose.
warnings.filterwarnings("ignore", message="IProgress not found")


def _keep_caches() -> None:
    """Give libraries a folder where they find none, as in a container without a home folder.

    Numba keeps what it compiles beside the code or under the home folder; where it may write to
    neither, `import librosa` fails, and it does too where no home folder is known.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.name != "posix" or _may_write(Path(home)):
        return
    folder = Path(tempfile.gettempdir(), f"asclib-caches-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():  # what lies there is another user's, and would be run
        folder = Path(tempfile.mkdtemp())
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ.setdefault("MPLCONFIGDIR", str(folder))
    librosa = importlib.util.find_spec("librosa")
    if not (librosa and librosa.origin and _may_write(Path(librosa.origin).parent)):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


def _may_write(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and files in it; not where no home is known."""
    if not folder.is_absolute():
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


with contextlib.suppress(OSError):  # no folder for temporary files either: numba will say so
    _keep_caches()

_HOMES = {
    "asclib.challenge": ("LIMITS",),
    "asclib.corpus": ("Corpus",),
    "asclib.features": ("LogMel",),
    "asclib.networks": (
        "CNNGRU",
        "TMSIC",
        "Baseline2022",
        "CPMobile",
        "OneVsAllTeacher",
        "ResNet18",
    ),
    "asclib.training": ("Clips", "Training", "train"),
    "asclib.distillation": ("TECHNIQUES", "Answers", "Stage", "distill", "losses"),
    "asclib.runs": ("Data", "Experiment", "Lesson", "Run", "build"),
    "asclib.evaluation": ("compare", "evaluate"),
    "asclib.compression": ("export",),
    "asclib.litert": ("LiteRT",),
    "asclib.listen": ("Listener",),
}
_PACKAGES = ("complexity",)  # callable: see there
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted([*_HOME, *_PACKAGES])


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"asclib.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'asclib' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
