"""The student on a chip: what it costs there, front end and all, and whether it hears the same.

    python -m studies firmware
    python -m studies firmware --real DIR     the clips of a folder in TAU layout are heard as well

The quick student becomes a full-int8 file, the file C, and the C two programs, for this machine and
for an emulated Cortex-M4. Instructions are counted by the emulator, layer by layer; sizes are read
from the program's table of symbols. Then clips are played to the programs. What they answer is
compared with TensorFlow Lite Micro from the same pictures, number by number, and with Python's path
from LogMel to LiteRT, scene by scene. The taps of the cheap front end were chosen on the embedded
corpus; so what it costs in scenes is counted on another rendering as well, with an interval.

Needs make, gcc-arm-none-eabi and qemu-system-arm of Debian, and the package tflite-micro.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
from torch import nn

from asclib.challenge import SCENES
from asclib.complexity import complexity_of_file
from asclib.compression import exported
from asclib.compression.qat import range_calibration
from asclib.corpus import Corpus, read_audio
from asclib.corpus.audio import SAMPLE_RATE
from asclib.corpus.embedded.layout import CorpusSize
from asclib.deploy import (
    hear_on_chip,
    hear_on_host,
    plan,
    products,
    read_model,
    run_on_chip,
    run_on_host,
    write_firmware,
    write_listener,
)
from asclib.deploy.build import run_program, sizes
from asclib.deploy.frontend import CHEAP, EXACT, RATES, multiplications
from asclib.deploy.sound import FRONT_ENDS
from asclib.evaluation.statistics import difference
from asclib.evaluation.systems import Clips, System
from asclib.features import LogMel
from asclib.litert import LiteRT
from asclib.networks import TMSIC
from asclib.progress import progress
from asclib.runs import Data, Experiment
from studies.command import Commands, add_command, origin

ON_CHIP = 60  # clips, drawn evenly from the test
REFERENCE = 300  # clips that TensorFlow Lite Micro is asked about
NEAR = 2  # steps of int8 logits
FRESH = CorpusSize(90, 900, seed=5)  # a rendering that chose nothing
TABLES = re.compile(
    r"(COSINE|WEIGHTS|BANDS|PLANS|(FIRST|SECOND|EDGE_\w+)_\d+)$"
)  # of the front end
STUDENT = "conv1 conv2 norm2 pool2 conv3 norm3 pool3 conv4 norm4 mean dense head".split()
SPLIT = ("conv2", "conv3", "conv4")  # each in two by `separable`: filters, then mixes
# What an interpreter takes of its arena: activations at the head, its own notes at the tail.
ARENA = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=2**21).print_allocations()
"""
OF_LAYER = re.compile(r"(?:layer|weights|channels|constant)_(\d+)(?:_\d+)?(?:\.\w+)*$")


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "firmware", _firmware, seeds=1)
    parser.add_argument("--real", type=Path, help="a folder of recordings in TAU layout")


def _firmware(options: argparse.Namespace) -> dict[str, Any]:
    experiment = Experiment(options.profile, options.data_root, options.seeds[0])
    return origin(experiment) | firmware(experiment, options.real)


def firmware(experiment: Experiment, real: Path | None = None) -> dict[str, Any]:
    """The figures of `results/firmware.json`. Args: real, a folder that is heard as well."""
    ranges = range_calibration(experiment.data)
    model = exported(experiment.student().net().eval(), "full_int8", ranges)
    other = exported(separable().eval(), "full_int8", ranges)
    parted = ([f"{n} filters", f"{n} mixes"] if n in SPLIT else [n] for n in STUDENT)
    two = [name for names in parted for name in names]
    heard = {
        "embedded": clips(experiment.corpus),
        f"embedded, seed {FRESH.seed}": clips(Data(FRESH).corpus),
    }
    if real is not None:
        heard["real recordings"] = recordings(real), None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test, _ = heard["embedded"]
        return {
            "tools": tools(folder),
            "file": described(model),
            "interpreter": arena_of_interpreter(model, folder),
            "layers": layers(model, folder / "student", STUDENT),
            "separable": layers(other, folder / "separable", two),
            "programs": programs(model, folder / "student", test[0]),
            "equal": equal(model, folder / "student", test),
            "agreement": agreement(model, folder / "student", heard),
        }


def separable() -> nn.Module:
    """TMSIC, untrained, whose second to fourth convolution filter each map and then mix them."""
    torch.manual_seed(0)
    net = TMSIC()
    for name in SPLIT:
        whole = net.get_submodule(name)
        maps = whole.in_channels
        filters = nn.Conv2d(maps, maps, whole.kernel_size, padding="same", groups=maps)
        mixes = nn.Conv2d(maps, whole.out_channels, 1)
        setattr(net, name, nn.Sequential(filters, mixes))
    return net


# ---- sound -------------------------------------------------------------------------------------


def as_int16(sound: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1) as a microphone's converter gives them."""
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)


def clips(corpus: Corpus) -> tuple[list[np.ndarray], pd.DataFrame]:
    """(44100,) int16 of each test clip, and the table of scenes and locations."""
    table = corpus.split("test")
    return [as_int16(read_audio(corpus.root / name)) for name in table["filename"]], table


def recordings(folder: Path) -> list[np.ndarray]:
    """(44100,) int16 of each clip of a folder that is a second long and not silent throughout."""
    sounds = [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("audio/*"))]
    return [as_int16(x) for x in sounds if x.shape == (SAMPLE_RATE,) and x.any()]


def at_rate(sounds: Iterable[np.ndarray], rate: int) -> np.ndarray:
    """(clips, rate) int16, resampled where the rate is another."""
    rows = list(sounds)
    if rate != SAMPLE_RATE:
        rows = [as_int16(soxr.resample(x / 32768, SAMPLE_RATE, rate, quality="VHQ")) for x in rows]
    return np.stack(rows)


# ---- costs -------------------------------------------------------------------------------------


def tools(folder: Path) -> dict[str, str]:
    """Compiler, emulator and interpreter, with their versions."""
    first = [
        run_program([program, "--version"], folder).decode().splitlines()[0]
        for program in ("arm-none-eabi-gcc", "qemu-system-arm")
    ]
    return dict(zip(("compiler", "emulator"), first, strict=True)) | {
        "machine emulated": "mps2-an386",
        "interpreter": f"tflite-micro {version('tflite-micro')}",
    }


def described(model: Path) -> dict[str, int]:
    """Bytes and MACs of a file, and two arenas: in the file's own order, and as the C has it."""
    count, placed = complexity_of_file(model), plan(read_model(model))
    return {
        "bytes": model.stat().st_size,
        "stored": count.stored,
        "macs": count.macs,
        "arena_of_file": count.arena,
        "arena": placed.arena,
        "needed": max(placed.held),
    }


def arena_of_interpreter(model: Path, folder: Path) -> dict[str, int]:
    """Bytes that TensorFlow Lite Micro takes of its arena on this machine, of 64 bits.

    Its activations are as large on a chip; the rest, mostly pointers, is smaller there.
    """
    done = run_program(
        ["sh", "-c", 'exec "$@" 2>&1', "sh", sys.executable, "-c", ARENA, str(model)], folder
    ).decode()
    found = dict(re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", done))
    if set(found) != {"total", "head", "tail"}:
        raise RuntimeError(f"tflite-micro no longer says what its arena holds:\n{done[:2000]}")
    return {"activations": int(found["head"]), "notes": int(found["tail"])}


def layers(model: Path, folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """Each operator: shape, MACs, products that the C takes, instructions, flash, arena held."""
    write_firmware(model, folder)
    read = read_model(model)
    counted = run_on_chip(folder, np.zeros((1, *read.input.shape[1:]), np.int8))
    flash, placed = by_layer(symbols(folder, "firmware.elf", "tTrR")), plan(read)
    macs = complexity_of_file(model).layers["macs"]
    return [
        {
            "layer": name,
            "kind": operator.kind,
            "shape": list(operator.output.shape[1:]),
            "macs": int(macs[number]),
            "products": products(operator),
            "instructions": counted.layers[number],
            "flash": flash.get(number, 0),
            "held": placed.held[number],
        }
        for number, (name, operator) in enumerate(zip(names, read.operators, strict=True))
    ]


def symbols(folder: Path, program: str, kinds: str) -> dict[str, int]:
    """Bytes of each symbol of these kinds, by its name; equal names are added up."""
    said = run_program(["arm-none-eabi-nm", "-S", "--defined-only", program], folder).decode()
    found: dict[str, int] = {}
    for line in said.splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[2] in kinds:
            found[parts[3]] = found.get(parts[3], 0) + int(parts[1], 16)
    return found


def by_layer(flash: dict[str, int]) -> dict[int, int]:
    """Bytes of code and constants that belong to one layer."""
    found: dict[int, int] = {}
    for name, size in flash.items():
        if match := OF_LAYER.match(name):
            found[int(match[1])] = found.get(int(match[1]), 0) + size
    return found


def programs(model: Path, folder: Path, second: np.ndarray) -> list[dict[str, Any]]:
    """The program for the chip with either front end at either rate: instructions, flash, RAM."""
    rows, frame = [], 4 * LogMel.tmsic().settings["n_fft"]  # floats
    for name, low_pass in FRONT_ENDS.items():
        for rate in RATES:
            write_listener(model, folder, chip=low_pass, rate=rate)
            heard = hear_on_chip(folder, at_rate([second], rate)[0])
            assert heard.counts is not None
            front, burst, net, deepest = heard.counts
            flash, ram = sizes(folder, "listen.elf")
            stack = reserved(folder, "listen.elf")
            code, held = (symbols(folder, "listen.elf", kinds) for kinds in ("tTrR", "bB"))
            of_layers = sum(by_layer(code).values())
            tables = sum(size for symbol, size in code.items() if TABLES.match(symbol))
            picture = read_model(model).input.size
            parts = {
                "samples": held["samples"],
                "picture": picture,
                "frame of sound": frame,
                "its spectrum": frame,
                "filters": held["f"] - picture - 2 * frame,
                "arena": held["arena"],
            }
            rows.append(
                {
                    "front_end": name,
                    "rate": rate,
                    "multiplications": multiplications(rate, low_pass),
                    "instructions": {"front end": front, "in 2 ms": burst, "model": net},
                    "flash": {
                        "all": flash,
                        "layers": of_layers,
                        "tables of the front end": tables,
                        "other code": flash - of_layers - tables,
                    },
                    "ram": {
                        "all": ram + stack,
                        **parts,
                        "stack": stack,
                        "answers and text": ram - sum(parts.values()),
                    },
                    "deepest stack": deepest,
                }
            )
    return rows


def reserved(folder: Path, program: str) -> int:
    """Bytes that the linker script keeps for the stack."""
    said = run_program(["arm-none-eabi-size", "-A", program], folder).decode()
    return next(int(row.split()[1]) for row in said.splitlines() if row.startswith(".stack"))


# ---- the same answers --------------------------------------------------------------------------


def interpreter(model: Path, pictures: np.ndarray) -> np.ndarray:
    """TensorFlow Lite Micro's logits, (n, bands, 8) int8 -> (n, classes) int8."""
    from tflite_micro import runtime

    reference = runtime.Interpreter.from_file(str(model), arena_size=2**21)
    answers = []
    for picture in pictures:
        reference.set_input(picture[None, :, :, None], 0)
        reference.invoke()
        answers.append(reference.get_output(0).ravel())
    return np.array(answers)


def equal(model: Path, folder: Path, sounds: list[np.ndarray]) -> list[dict[str, Any]]:
    """Of how many clips all logits are those of TensorFlow Lite Micro, from the same picture."""
    write_listener(model, folder, chip=CHEAP, host=EXACT, rate=SAMPLE_RATE)
    rows = []
    for where, number in (("host", REFERENCE), ("chip", ON_CHIP)):
        chosen = sounds[:: max(len(sounds) // number, 1)][:number]
        samples = np.concatenate(chosen)
        if where == "host":
            heard = hear_on_host(folder, samples, SAMPLE_RATE)
        else:
            heard = hear_on_chip(folder, samples)
        same = (heard.logits == interpreter(model, heard.pictures)).all(1)
        row = {"where": where, "front_end": "exact" if where == "host" else "cheap"}
        rows.append(row | {"clips": len(chosen), "equal": int(same.sum())})
    return rows


def agreement(
    model: Path, folder: Path, heard: dict[str, tuple[list[np.ndarray], pd.DataFrame | None]]
) -> list[dict[str, Any]]:
    """How many clips the program names as Python does, with either front end.

    Python's path is LogMel, then LiteRT; and LogMel, then the same C network, which leaves the
    front end alone to differ. LiteRT on a PC rounds otherwise than the reference kernels, and int8
    knows near ties: so those are counted as well in which Python itself sees the program's scene no
    more than NEAR steps of its output below its own; `close` are all clips whose second scene is as
    near to the first. Where scenes are those of the task, `right` are the clips named rightly, and
    `more_right` is the program's accuracy less Python's, with its interval over locations, and
    `more_than_exact` less its own with the exact front end: one network, so the filters alone.
    """
    read, net, log_mel = read_model(model), LiteRT(model), LogMel.tmsic()
    scale, zero = read.input.scale[0], read.input.zero[0]
    rows = []
    asked = [(name, r) for name in heard for r in RATES if r == SAMPLE_RATE or name == "embedded"]
    for corpus, rate in progress(asked):
        sounds, table = heard[corpus]
        truth = None if table is None else table["scene"].map(SCENES.index).to_numpy()
        samples = at_rate(sounds, rate)
        waves = np.float32(samples) / np.float32(32768)
        x = torch.cat([log_mel(part, rate) for part in np.array_split(waves, len(waves) // 50 + 1)])
        steps = np.rint(x[:, 0].numpy() / scale + zero)
        pictures = np.clip(steps, -128, 127).astype(np.int8)
        said = np.rint(net(x) / read.output.scale[0])  # in steps
        named, each = said.argmax(1), np.arange(len(said))
        second = np.partition(said, -2)[:, -2]
        alone = run_on_host(folder, pictures).argmax(1)
        answered: dict[str, np.ndarray] = {}  # the exact front end's come first
        for name, low_pass in FRONT_ENDS.items():
            write_listener(model, folder, host=low_pass)
            found = hear_on_host(folder, samples.ravel(), rate)
            answered[name] = scenes = found.logits.argmax(1)
            rows.append(
                {
                    "front_end": name,
                    "corpus": corpus,
                    "rate": rate,
                    "clips": len(samples),
                    "same_scene": int((scenes == named).sum()),
                    "near_ties": int(
                        ((scenes != named) & (said.max(1) - said[each, scenes] <= NEAR)).sum()
                    ),
                    "close": int((said.max(1) - second <= NEAR).sum()),
                    "same_scene_by_front_end": int((scenes == alone).sum()),
                    "same_numbers": round(float((found.pictures == pictures).mean()), 4),
                    "right": None if truth is None else int((scenes == truth).sum()),
                    "python_right": None if truth is None else int((named == truth).sum()),
                    "more_right": more_right(table, scenes, named),
                    "more_than_exact": more_right(table, scenes, answered["exact"]),
                }
            )
    return rows


def more_right(
    table: pd.DataFrame | None, scenes: np.ndarray, named: np.ndarray
) -> dict[str, float] | None:
    """Accuracy of `scenes` less that of `named`, and its 95 % interval, paired over locations."""
    if table is None:
        return None
    truth = table["scene"].map(SCENES.index).to_numpy()
    ours, theirs = (
        System(name, (answers == truth)[None].astype(float), (0,))
        for name, answers in (("these", scenes), ("those", named))
    )
    found = difference(ours, theirs, Clips.of(table))
    names = ("estimate", "low", "high", "locations")
    return {name: round(getattr(found, name), 4) for name in names}
