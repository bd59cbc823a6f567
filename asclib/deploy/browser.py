"""The listening page: front end and network as WebAssembly, in a page that needs no server.

`python -m asclib firmware student.tflite --page DIR` writes it. Opened from the folder or from a
server, it hears a microphone, a file, or clips of the embedded corpus, with the C of the firmware.
Every model that was written to the folder can be chosen there.

Chapter: book/practice/listening.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asclib.challenge.task import SAMPLE_RATE, SCENES
from asclib.corpus.audio import read_audio
from asclib.corpus.embedded.layout import CorpusSize, layout
from asclib.corpus.embedded.render import record
from asclib.deploy import frontend
from asclib.deploy.build import write_firmware
from asclib.deploy.read import read_model
from asclib.deploy.sound import FRAMES, bands_of, default_classes
from asclib.features import LogMel

PAGE = Path(__file__).with_name("page")
MODELS = "<!-- models -->"  # where index.html lists their scripts
FLAGS = (
    "--target=wasm32",
    "-msimd128",  # the same bits, a tenth of the time
    "-nostdlib",
    "-ffreestanding",
    "-DFRONTEND_NEPERS",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    *frontend.FLAGS,
    "-Os",  # as fast as -O3, and a quarter shorter
)
CLIPS = CorpusSize(1_200, 600)  # the corpus of which the page has a second of each scene
DEVICES = {"a": "the usual one", "s6": "in no training clip"}  # each with what is said of it
LINE = 120  # characters of base64


@dataclass(frozen=True)
class Card:
    """What a page says about a model: its name, what it learnt from, and its classes in order."""

    name: str
    learnt: str
    classes: tuple[str, ...]


def webassembly(model: str | Path) -> bytes:
    """Front end and network of a full-int8 .tflite as one WebAssembly module, by clang.

    Equal files give equal bytes with one version of clang. `c/browser.c` says what it exports.
    Raises: FileNotFoundError for the file, or for clang and its linker; ValueError when the model
        cannot become C, or takes no picture of (bands, 8); RuntimeError with the compiler's words.
    """
    read = read_model(model)
    bands = bands_of(read)
    if bands is None:
        raise ValueError(
            f"{model} takes {read.input.shape}; the page's front end makes pictures of "
            f"(1, bands, {FRAMES}, 1): export a network for input_shape (1, bands, {FRAMES})"
        )
    log_mel = LogMel(n_mels=bands)
    _need("clang", "wasm-ld")
    with tempfile.TemporaryDirectory() as name:
        folder = write_firmware(model, name)
        frontend.write(folder, frontend.EXACT, log_mel=log_mel)
        for extra in ("browser.c", "simd.h"):
            shutil.copy(frontend.SOURCES / extra, folder)
        sources = ("model.c", "frontend.c", "browser.c")
        command = ["clang", *FLAGS, *sources, "-o", "page.wasm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
        return (folder / "page.wasm").read_bytes()


def compiler() -> str:
    """Who compiles: the first line of `clang --version`. Raises: FileNotFoundError."""
    _need("clang")
    said = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.splitlines()[0]


def card(model: str | Path) -> Card:
    """What MODEL.json beside MODEL.tflite says, and defaults for what it leaves out.

    Raises: FileNotFoundError; ValueError naming the file when it holds something else.
    """
    model = Path(model)
    outputs = read_model(model).output.size
    given: dict[str, Any] = {
        "name": model.stem,
        "learnt": "nobody has written down what it learnt from.",
        "classes": default_classes(outputs),
    }
    beside = model.with_suffix(".json")
    if beside.is_file():
        try:
            given |= (said := json.loads(beside.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{beside} is no object of JSON: {error}") from error
        if strange := set(said) - {"name", "learnt", "classes"}:
            raise ValueError(f"{beside}: {sorted(strange)} is not name, learnt or classes")
    for field in ("name", "learnt"):
        if not isinstance(given[field], str) or not given[field].strip():
            raise ValueError(f"{beside}: {field} is no text; write a sentence in quotes")
    classes = given["classes"]
    named = isinstance(classes, list) and all(isinstance(one, str) for one in classes)
    if not named or len(set(classes)) != outputs:
        raise ValueError(f"{beside}: classes are not {outputs} different names, one an output")
    return Card(given["name"], given["learnt"], tuple(classes))


def write_page(model: str | Path, folder: str | Path) -> Path:
    """Write the listening page with this model, beside those that are there already.

    Its own files are replaced. The clips are rendered, some seconds long.
    Args: model, a full-int8 .tflite, with a MODEL.json beside it where it has a `card`; folder.
    Returns: the path of index.html.
    Raises: as `webassembly` and `card`.
    """
    model, folder = Path(model), Path(folder)
    script = model_script(model)
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models" / f"{model.stem}.js").write_text(script)
    for path in sorted(PAGE.iterdir()):
        shutil.copyfile(path, folder / path.name)
    for name, text in clip_scripts().items():
        (folder / name).write_text(text)
    index = folder / "index.html"
    scripts = [
        f'<script src="models/{path.name}"></script>'
        for path in sorted((folder / "models").glob("*.js"))
    ]
    index.write_text(index.read_text().replace(MODELS, "\n".join(scripts)))
    return index


def model_script(model: Path) -> str:
    """A classic script that adds a model to the page's list."""
    wasm, about = webassembly(model), card(model)
    fields = {
        "name": about.name,
        "learnt": about.learnt,
        "classes": list(about.classes),
        "file": model.name,
        "bytes": model.stat().st_size,
        "compiler": compiler(),
    }
    return _script("addModel", fields, "wasm", wasm)


def clip_scripts() -> dict[str, str]:
    """{name of a classic script: its text}: a test clip of each scene, through each of DEVICES."""
    texts: dict[str, list[str]] = {device: [] for device in DEVICES}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "audio").mkdir()
        for scene in SCENES:
            first = next(r for r in layout(CLIPS) if r.scene == scene and r.split == "test")
            recording = replace(first, devices=tuple(DEVICES))
            record(Path(name), recording, CLIPS.seed)
            for device, text in texts.items():
                samples = read_audio(Path(name) / f"audio/{recording.name}-0-{device}.wav")
                fields = {"scene": scene, "device": device, "about": DEVICES[device]}
                text.append(_script("addClip", fields, "wav", _wav(samples)))
    return {f"clips_{device}.js": "".join(text) for device, text in texts.items()}


def _script(function: str, fields: dict[str, Any], name: str, content: bytes) -> str:
    """A call of a function of the page; the content in lines of base64 between back quotes."""
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[i : i + LINE] for i in range(0, len(text), LINE))
    said = json.dumps(fields, indent=1, ensure_ascii=True).removesuffix("\n}")
    return f'{function}({said},\n "{name}": `\n{lines}\n`\n}});\n'


def _wav(samples: np.ndarray) -> bytes:
    """A 16-bit mono wav of floats that 16 bits hold."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(samples * 32_768).astype("<i2").tobytes())
    return content.getvalue()


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise FileNotFoundError(
            f"no {' and no '.join(missing)} on the path, which makes WebAssembly: install clang "
            "and lld (Debian: apt-get install clang lld)"
        )
