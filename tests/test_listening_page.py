"""Claims about the listening page: one arithmetic with Python's, and a page for anybody."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile
import soxr

from asclib import Listener
from asclib.challenge.task import SCENES
from asclib.compression import Calibration, export
from asclib.corpus.audio import read_audio
from asclib.deploy import browser as pages
from asclib.deploy import read_model
from asclib.deploy.__main__ import main
from asclib.features import LogMel
from asclib.networks.published import load_keras
from asclib.runs import Experiment
from tests import browser
from tests.data import TINY
from tests.tflite import Network, Reference
from tests.toolchain import need, need_reference
from tools import book

LISTEN = book.PROJECT / "_static" / "listen"
MODELS = sorted((book.PROJECT / "models").glob("*_int8.tflite"))
MODEL = MODELS[0]
LARGEST = 1_500_000  # bytes of a file of the page
WITHIN = 60 * np.log(10) / 20  # 60 dB in nepers
DARK = "--blink-settings=preferredColorScheme=0"
SCHEMES = {"file", "data", "blob"}


# ---- what is committed ---------------------------------------------------------------------------


def test_the_committed_page_is_what_the_command_writes():
    """All but the models, which need a compiler."""
    scripts = [f'<script src="models/{model.stem}.js"></script>' for model in MODELS]
    expected = {path.name: path.read_text() for path in pages.PAGE.iterdir()}
    assert pages.MODELS in expected["index.html"]
    expected["index.html"] = expected["index.html"].replace(pages.MODELS, "\n".join(scripts))
    expected |= pages.clip_scripts()
    assert {path.name for path in LISTEN.iterdir()} == {*expected, "models"}
    assert {path.name for path in (LISTEN / "models").iterdir()} == {f"{m.stem}.js" for m in MODELS}
    for name, text in expected.items():
        remedy = (
            f"python -m asclib firmware {MODEL.relative_to(book.PROJECT)} --page _static/listen"
        )
        assert (LISTEN / name).read_text() == text, f"{name} is out of date: {remedy}"


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_the_committed_webassembly_is_rebuilt_byte_for_byte(model):
    need("clang", "wasm-ld")
    committed = (LISTEN / "models" / f"{model.stem}.js").read_text()
    if f'"compiler": "{pages.compiler()}"' not in committed:
        pytest.skip(f"{pages.compiler()} is not the compiler that {model.stem}.js names")
    assert pages.model_script(model) == committed


def test_files_are_small_and_classic_scripts_alone_load_them():
    for path in LISTEN.rglob("*.*"):
        text = path.read_text()
        assert len(text) < LARGEST, path.name
        assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|type=.module|@import", text), path
    for model in MODELS:
        assert model.stat().st_size < 100_000


# ---- a tab ---------------------------------------------------------------------------------------


def opened(tab: browser.Page, folder: Path = LISTEN, size: str = "desktop") -> browser.Visit:
    visit = tab.open((folder / "index.html").as_uri(), size)
    wait(tab, "document.body.dataset.ready === 'yes'")
    return visit


def wait(tab: browser.Page, condition: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not tab.evaluate(condition):
        assert time.monotonic() < end, f"{condition} does not come true: {said(tab)}"
        time.sleep(0.1)


def said(tab: browser.Page) -> str:
    """The state and, where it is shown, the problem."""
    return tab.evaluate(
        "['state', 'problem'].map(id => $(id).hidden ? '' : $(id).textContent).join(' ')"
    )


def assert_quiet(visit: browser.Visit) -> None:
    """No error in the console, no request to anywhere."""
    assert visit.errors == []
    assert {urlparse(address).scheme for address in visit.requests} <= SCHEMES, visit.requests


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Page]:
    need("chromium")
    with browser.page("--autoplay-policy=no-user-gesture-required") as one:
        yield one


# In the page: seconds of int16 through an engine of its own -> pictures, nepers, answers.
HEAR = """
(async () => {
  const numbers = new Int16Array(bytesOf("%s").buffer), rate = %d, all = [[], [], []];
  window.tried = window.tried || await Engine.open(models[0]);
  tried.start(rate);
  const text = (array) => {
    let binary = "";
    for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
      binary += String.fromCharCode(byte);
    return btoa(binary);
  };
  tried.push(Float32Array.from(numbers, (n) => n / 32768), null, () => {
    [tried.picture, tried.nepers, tried.answers].forEach((array, i) => all[i].push(text(array)));
  });
  return all;
})()
"""


def heard(tab: browser.Page, seconds: np.ndarray, rate: int) -> tuple[np.ndarray, ...]:
    """(n, rate) int16 -> pictures (n, 140, 8) int8, nepers likewise, answers (n, classes) int8."""
    parts: list[list[bytes]] = [[], [], []]
    for start in range(0, len(seconds), 20):
        data = base64.b64encode(seconds[start : start + 20].tobytes()).decode()
        for part, texts in zip(parts, tab.evaluate(HEAR % (data, rate)), strict=True):
            part += map(base64.b64decode, texts)
    kinds = ((np.int8, (140, 8)), (np.float32, (140, 8)), (np.int8, (-1,)))
    return tuple(
        np.stack([np.frombuffer(text, kind).reshape(shape) for text in part])
        for part, (kind, shape) in zip(parts, kinds, strict=True)
    )


def deviation(nepers: np.ndarray, waves: np.ndarray, rate: int) -> float:
    """The largest from LogMel, where a band is within 60 dB of its second's loudest."""
    expected = LogMel.tmsic()(np.float32(waves), rate)[:, 0].numpy()
    near = expected > expected.max((1, 2), keepdims=True) - WITHIN
    return float(np.abs(nepers - expected)[near].max())


@pytest.fixture(scope="module")
def clips(tiny_store) -> np.ndarray:
    """(300, 44100) int16, the tiny corpus."""
    corpus = Experiment(TINY).corpus
    names = corpus.clips[corpus.clips["split"] != "unused"]["filename"].iloc[:300]
    assert len(names) == 300
    return np.stack([np.rint(read_audio(corpus.root / n) * 32_768) for n in names]).astype(np.int16)


# ---- the same numbers ----------------------------------------------------------------------------


def test_the_page_answers_300_clips_as_python_and_the_interpreter_do(tab, clips):
    """The picture is LogMel's, its rounding LiteRT's; the logits, given it, TFLM's bit for bit."""
    visit = opened(tab)
    pictures, nepers, answers = heard(tab, clips, 44_100)
    waves = clips / 32_768
    assert deviation(nepers, waves, 44_100) < 2e-3
    given = read_model(MODEL).input
    scale, zero = np.float32(given.scale[0]), np.float32(given.zero[0])
    rounded = np.clip(np.rint(nepers / scale + zero), -128, 127).astype(np.int8)
    np.testing.assert_array_equal(pictures, rounded)
    need_reference()
    reference = Reference(MODEL)
    np.testing.assert_array_equal(answers, reference(pictures[..., None]))
    assert len(np.unique(answers, axis=0)) > 250
    log_mel = LogMel.tmsic()(np.float32(waves), 44_100)[:, 0].numpy()
    python = np.clip(np.rint(log_mel / scale + zero), -128, 127).astype(np.int8)
    same = answers.argmax(1) == reference(python[..., None]).argmax(1)
    print(f"{same.sum()} of {len(same)} scenes; {(python == pictures).mean():.5f} of numbers equal")
    assert same.mean() >= 0.995
    assert_quiet(visit)


def test_at_48_khz_it_does_so_too(tab, clips):
    opened(tab)
    some = soxr.resample(np.float32(clips[::10].T / 32_768), 44_100, 48_000, quality="VHQ").T
    some = np.int16(np.clip(np.rint(some * 32_768), -32_768, 32_767))
    pictures, nepers, answers = heard(tab, some, 48_000)
    assert deviation(nepers, some / 32_768, 48_000) < 1e-3
    need_reference()
    np.testing.assert_array_equal(answers, Reference(MODEL)(pictures[..., None]))


def layers(seed: int) -> bytes:
    """A small network from pictures of 40 bands: convolutions by rows and by patches, odd sizes."""
    network = Network(seed, (1, 40, 8, 1))
    for layer in ("conv", "norm", "conv", "pool", "conv", "relu", "depthwise", "mean", "dense"):
        getattr(network, layer)()
    return network.content()


def test_networks_of_one_s_own_equal_the_interpreter(tab, tmp_path):
    """Several in one folder can be chosen; each has its own classes and number of bands."""
    need("clang", "wasm-ld")
    need_reference()
    for seed in range(4):
        (tmp_path / f"net{seed}.tflite").write_bytes(layers(seed))
        pages.write_page(tmp_path / f"net{seed}.tflite", tmp_path / "page")
    assert_quiet(opened(tab, tmp_path / "page"))
    assert not tab.evaluate("$('choose-model').hidden")
    assert tab.evaluate("[...$('model').options].map(o => o.text)") == [f"net{k}" for k in range(4)]
    random = np.random.default_rng(0)
    for seed in range(4):
        path = tmp_path / f"net{seed}.tflite"
        tab.evaluate(f"choose(models[{seed}])")
        pictures = random.integers(-128, 128, (10, 40, 8, 1), dtype=np.int8)
        found = [
            tab.evaluate(
                f"engine.picture.set({p.ravel().tolist()}), engine.logits(), [...engine.answers]"
            )
            for p in pictures
        ]
        np.testing.assert_array_equal(found, Reference(path)(pictures), err_msg=path.name)
        classes = len(found[0])
        assert tab.evaluate("$('probabilities').tBodies[0].rows.length") == classes


def test_the_authors_network_does_so_in_the_page(tab, tmp_path, clips):
    published = os.environ.get("ASCLIB_PUBLISHED")
    if not published:
        pytest.skip("set ASCLIB_PUBLISHED to the folder of keras_model_*.h5 and expected.npz")
    need("clang", "wasm-ld")
    need_reference()
    net = load_keras(Path(published, "keras_model_4.h5"))
    ranges = Calibration(LogMel.tmsic()(clips[::5] / np.float32(32_768), 44_100))
    path = export(net, tmp_path / "authors.tflite", "full_int8", calibration=ranges)
    visit = opened(tab, pages.write_page(path, tmp_path / "page").parent)
    pictures, _, answers = heard(tab, clips, 44_100)
    np.testing.assert_array_equal(answers, Reference(path)(pictures[..., None]))
    assert len(np.unique(answers, axis=0)) > 10
    assert_quiet(visit)


def test_real_recordings_are_heard_as_python_hears_them(tab):
    folder = os.environ.get("ASCLIB_REAL_SOUNDS")
    if not folder:
        pytest.skip("ASCLIB_REAL_SOUNDS names no folder of real recordings in TAU layout")
    paths = sorted(Path(folder, "audio").glob("*.flac"))[::12][:300]
    waves = np.stack([soundfile.read(path, dtype="int16")[0] for path in paths])
    opened(tab)
    pictures, nepers, answers = heard(tab, waves, 44_100)
    assert deviation(nepers, waves / 32_768, 44_100) < 2e-3
    need_reference()
    reference = Reference(MODEL)
    np.testing.assert_array_equal(answers, reference(pictures[..., None]))
    given = read_model(MODEL).input
    log_mel = LogMel.tmsic()(waves / np.float32(32_768), 44_100)[:, 0].numpy()
    steps = np.rint(log_mel / np.float32(given.scale[0]) + np.float32(given.zero[0]))
    python = reference(np.clip(steps, -128, 127).astype(np.int8)[..., None])
    assert (answers.argmax(1) == python.argmax(1)).mean() >= 0.995


# ---- sources -------------------------------------------------------------------------------------


def test_a_microphone_is_heard_as_python_hears_it(tmp_path, clips):
    """A recorded wav as the microphone: the page's own samples, its pictures and answers."""
    need("chromium")
    need_reference()
    rate = 48_000
    sound = soxr.resample(np.concatenate(clips[:3]) / 32_768, 44_100, rate)
    soundfile.write(tmp_path / "microphone.wav", sound, rate, subtype="PCM_16")
    flags = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}",
        "--disable-audio-output",  # a sound server's clock is another, and samples would be lost
    )
    with browser.page(*flags) as tab:
        visit = opened(tab)
        tab.evaluate("""(() => {
          window.kept = [];
          const push = Engine.prototype.push;
          Engine.prototype.push = function (samples, onFrame, onSecond) {
            kept.push(...samples);
            return push.call(this, samples, onFrame, (heard) => {
              heard.nepers = [...this.nepers];
              heard.picture = [...this.picture];
              heard.answers = [...this.answers];
              onSecond(heard);
            });
          };
          $("microphone").click();
        })()""")
        wait(tab, "heardInAll >= 3")
        assert tab.evaluate("engine.rate") == rate
        found = tab.evaluate("seconds.slice(0, 3)")
        samples = np.array(tab.evaluate("kept"), np.float32)[: 3 * rate].reshape(3, rate)
        tab.evaluate("$('stop').click()")
        assert "Stopped" in said(tab)
        assert_quiet(visit)
    nepers = np.array([one["nepers"] for one in found]).reshape(-1, 140, 8)
    pictures = np.array([one["picture"] for one in found], np.int8).reshape(-1, 140, 8, 1)
    assert deviation(nepers, samples, rate) < 1e-3
    answers = np.array([one["answers"] for one in found], np.int8)
    np.testing.assert_array_equal(answers, Reference(MODEL)(pictures))
    # and it was the recording that was heard, somewhere in it: the largest correlation
    spectrum = np.fft.rfft(samples[1], 4 * rate).conj()
    around = np.fft.irfft(np.fft.rfft(np.tile(sound, 2)[: 4 * rate]) * spectrum)
    most = around.max() / np.linalg.norm(samples[1])
    place = int(around.argmax())
    same = np.tile(sound, 2)[place : place + rate]
    assert most / np.linalg.norm(same) > 0.9


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_file_is_heard_as_listener_hears_it(tab, tmp_path, clips, way):
    sound = np.concatenate(clips[40:44])
    soundfile.write(tmp_path / "walk.wav", sound, 44_100)
    visit = opened(tab)
    give(tab, (tmp_path / "walk.wav").read_bytes(), "walk.wav", way)
    wait(tab, "heardInAll === 4")
    table = Listener(MODEL)(tmp_path / "walk.wav")
    found = np.array(tab.evaluate("seconds.map(one => one.probabilities)"))
    # a number of the picture that lies between two may be rounded to either side
    np.testing.assert_allclose(found, table.iloc[:, 2:], rtol=0, atol=0.05)
    heard = tab.evaluate("[...$('log').tBodies[0].rows].map(row => row.cells[1].textContent)")
    assert heard[::-1] == [scene.replace("_", " ") for scene in table["scene"]]
    decision = Listener(MODEL).hear(tmp_path / "walk.wav").scene
    assert tab.evaluate("$('decision').textContent") == decision.replace("_", " ")
    assert "Heard to the end" in said(tab)
    assert re.search(r"takes [\d.]+ milliseconds", tab.evaluate("$('cost').textContent"))
    assert_quiet(visit)


def give(tab: browser.Page, content: bytes, name: str, way: str = "chosen") -> None:
    """Choose or drop a file, heard as fast as it goes."""
    tab.evaluate(f"""(() => {{
      $("aloud").checked = false;
      const data = new DataTransfer();
      data.items.add(new File([bytesOf("{base64.b64encode(content).decode()}")], "{name}"));
      if ("{way}" === "dropped")
        $("drop").dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, bubbles: true }}));
      else {{
        $("file").files = data.files;
        $("file").dispatchEvent(new Event("change"));
      }}
    }})()""")


def test_silent_seconds_have_no_answer(tab, tmp_path, clips):
    sound = np.concatenate([clips[0], np.zeros(44_100, np.int16), clips[1]])
    soundfile.write(tmp_path / "gap.wav", sound, 44_100)
    opened(tab)
    give(tab, (tmp_path / "gap.wav").read_bytes(), "gap.wav")
    wait(tab, "heardInAll === 3")
    assert tab.evaluate("seconds.map(one => one.probabilities === null)") == [False, True, False]
    mean = np.mean([tab.evaluate(f"seconds[{k}].probabilities") for k in (0, 2)], axis=0)
    np.testing.assert_allclose(tab.evaluate("meanOf(seconds)"), mean)


@pytest.mark.parametrize(("content", "words"), [(b"no sound", "no sound"), (None, "a second")])
def test_what_cannot_be_heard_is_said(tab, tmp_path, content, words):
    soundfile.write(tmp_path / "short.wav", np.full(1000, 0.1), 44_100)
    opened(tab)
    give(tab, content or (tmp_path / "short.wav").read_bytes(), "strange.wav")
    wait(tab, "!$('problem').hidden")
    assert words in said(tab)


def test_clips_are_the_corpus_s_and_play_at_their_own_pace(tab):
    visit = opened(tab)
    assert tab.evaluate("clips.length") == 2 * 10
    tab.evaluate("$('scene').value = 'tram', $('device').value = 's6', $('clip').click()")
    wait(tab, "heardInAll === 1")
    assert tab.evaluate("$('log').tBodies[0].rows[0].cells[3].textContent").endswith("tram")
    tab.evaluate("$('row').click()")
    time.sleep(0.5)
    assert tab.evaluate("heardInAll") == 0  # not before a second has passed
    tab.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
    assert "Stopped" in said(tab)
    assert_quiet(visit)


def test_where_the_microphone_is_refused_the_page_says_how_to_go_on(clips, tmp_path):
    need("chromium")
    with browser.page("--use-fake-device-for-media-stream", "--deny-permission-prompts") as tab:
        visit = opened(tab)
        tab.evaluate("$('microphone').click()")
        wait(tab, "!$('problem').hidden")
        assert "refused" in said(tab) and "Choose a file" in said(tab)
        soundfile.write(tmp_path / "walk.wav", clips[0], 44_100)
        give(tab, (tmp_path / "walk.wav").read_bytes(), "walk.wav")
        wait(tab, "heardInAll === 1 && $('problem').hidden")
        assert_quiet(visit)


def test_where_no_sound_starts_the_page_says_so(tmp_path):
    """A context without a device waits for ever, as in Firefox where no loudspeaker is."""
    need("chromium")
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with browser.page(*flags) as tab:
        opened(tab)
        tab.evaluate("""(() => {
          AudioContext.prototype.resume = () => new Promise(() => {});
          $("microphone").click();
        })()""")
        wait(tab, "!$('problem').hidden")
        assert "does not start" in said(tab) and "Choose a file" in said(tab)
        assert not tab.evaluate("$('microphone').disabled")


# ---- for anybody ---------------------------------------------------------------------------------

NAMELESS = """
[...document.querySelectorAll('button, select, input, canvas')].filter(e => !(
  (e.labels && e.labels.length && e.labels[0].textContent.trim()) ||
  (e.tagName === 'BUTTON' && e.textContent.trim()) || e.getAttribute('aria-label')
)).map(e => e.outerHTML)
"""
UNREACHED = """
[...document.querySelectorAll('button, select, input, summary')]
  .filter(e => e.tabIndex < 0).map(e => e.outerHTML)
"""
CONTRASTS = """
(() => {
  const pen = document.createElement("canvas").getContext("2d");
  const value = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const light = (name) => {
    pen.fillStyle = value(name);
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((sum, byte, i) => {
      const x = byte / 255, linear = x < 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
      return sum + [0.2126, 0.7152, 0.0722][i] * linear;
    }, 0);
  };
  const pairs = ["ink paper", "soft paper", "accent paper", "bar paper", "ink card", "ink notice",
    "on-button button"];
  return pairs.map((pair) => {
    const [one, two] = pair.split(" ").map((name) => light("--" + name) + 0.05);
    return [pair, Math.max(one, two) / Math.min(one, two)];
  });
})()
"""


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_it_can_be_read_in_both_modes_and_on_a_phone(mode):
    need("chromium")
    papers = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}
    with browser.page(*([DARK] if mode == "dark" else [])) as tab:
        for size in browser.SIZES:
            opened(tab, size=size)
            tab.evaluate("$('aloud').checked = false, $('row').click()")
            wait(tab, "heardInAll === 10")
            assert tab.evaluate(browser.TOO_WIDE) == [], size
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == papers[mode]
        low = [pair for pair in tab.evaluate(CONTRASTS) if pair[1] < 4.5]  # WCAG 2, AA
        assert low == []


def test_keyboard_and_screen_reader_find_everything(tab):
    opened(tab)
    assert tab.evaluate(NAMELESS) == []
    assert tab.evaluate(UNREACHED) == []
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    assert tab.evaluate("document.documentElement.lang") == "en"
    roles = {"decision": "status", "state": "status", "problem": "alert"}  # spoken as they change
    for name, role in roles.items():
        assert tab.evaluate(f"$('{name}').getAttribute('role')") == role


def test_it_says_what_the_network_learnt_from(tab):
    opened(tab)
    assert json.loads(MODEL.with_suffix(".json").read_text())["learnt"] in tab.evaluate(
        "$('learnt').textContent"
    )
    assert "real street is another world" in tab.evaluate("document.body.textContent")


# ---- the command ---------------------------------------------------------------------------------


def test_the_command_asks_for_one_folder(capsys):
    for arguments in ([str(MODEL)], [str(MODEL), "a", "--page", "b"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "--page DIR for the listening page" in capsys.readouterr().err


def test_a_model_of_another_input_is_refused(tmp_path, capsys):
    network = Network(0, (1, 12, 9, 1))
    network.conv()
    network.mean()
    (tmp_path / "other.tflite").write_bytes(network.content())
    assert main([str(tmp_path / "other.tflite"), "--page", str(tmp_path / "page")]) == 1
    assert "pictures of (1, bands, 8, 1)" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_where_there_is_no_compiler_it_says_which(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(MODEL), "--page", str(tmp_path / "page")]) == 1
    assert "apt-get install clang lld" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "is no object of JSON"),
        ("[1]", "is no object of JSON"),
        ('{"title": "x"}', "['title'] is not name, learnt or classes"),
        ('{"name": ""}', "name is no text"),
        ('{"classes": ["a", "b"]}', "classes are not 10 different names"),
    ],
)
def test_a_card_that_says_something_else_is_named(tmp_path, text, words):
    model = Path(shutil.copy(MODEL, tmp_path))
    model.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        pages.card(model)
    assert str(model.with_suffix(".json")) in str(error.value)


def test_without_a_card_the_file_s_name_stands(tmp_path):
    model = Path(shutil.copy(MODEL, tmp_path / "mine.tflite"))
    about = pages.card(model)
    assert about.name == "mine" and about.classes == SCENES
    assert "nobody has written down" in about.learnt
