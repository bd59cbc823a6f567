"""A recording in, a scene out."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asclib import Listener, LogMel
from asclib.challenge import SCENES
from asclib.compression import export
from asclib.corpus import CorpusError
from asclib.features import resample
from asclib.listen import __main__ as command
from asclib.listen import listener
from asclib.networks import TMSIC
from asclib.runs import Data, Experiment, Kept, Run
from asclib.store import PROJECT
from asclib.training import Training, predict, probabilities
from tests.corpora import tone, wav

RATE = 8_000
PICTURES = LogMel.tmsic()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that grows and wanes beside a tone of its own, (samples,) float32."""
    time = np.arange(samples)
    loud = 0.1 + 0.09 * np.sin(time / 2_000)
    hiss = np.random.default_rng(seed).standard_normal(samples)
    return (loud * hiss + 0.4 * np.sin(0.03 * (1 + seed) * time)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A network whose answers differ from second to second."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(140 * 8, 10))
    nn.init.normal_(net[1].weight, std=0.05)
    return net.eval()


@pytest.fixture(scope="module")
def student() -> nn.Module:
    """A TMSIC with constants that differ: the converter of .tflite stores equal ones once."""
    torch.manual_seed(0)
    student = TMSIC()
    for value in student.state_dict().values():
        if value.dim() == 1:
            value.uniform_(0.5, 1.5)
    nn.init.normal_(student.head.weight, std=0.1)
    return student.eval()


class Recorder:
    """A model that keeps the pictures it was shown and says that each is its first class."""

    def __init__(self, classes: int = 10):
        self.seen: list[Tensor] = []
        self.answer = torch.eye(classes)[0]

    def __call__(self, pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        return 5 * self.answer.repeat(len(pictures), 1)


# ---- what is heard ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_streamed_recording_has_the_pictures_of_its_seconds_cut_by_hand(tmp_path, rate) -> None:
    """Over three blocks, at any rate: nothing crosses a border, so nothing differs."""
    count = 2 * listener.BLOCK + 3
    x = noise(count * rate + rate // 2)  # and half a second that is not heard
    model = Recorder()
    table = Listener(model)(wav(tmp_path / "x.wav", x, rate, "FLOAT"))
    assert table["start_s"].tolist() == list(range(count))
    assert [len(block) for block in model.seen] == [listener.BLOCK] * 2 + [3]
    cut = torch.from_numpy(x[: count * rate].reshape(count, rate))
    alone = torch.cat([PICTURES(second[None], rate) for second in cut])
    assert (torch.cat(model.seen) - alone).abs().max() < 1e-6  # nepers: sums of another length
    torch.testing.assert_close(torch.cat(model.seen[:1]), PICTURES(cut[:32], rate), rtol=0, atol=0)


def test_the_seconds_of_a_corpus_are_heard_as_its_clips_are(net, tmp_path) -> None:
    """Ten clips of 44.1 kHz, one after another: the same probabilities as from each file."""
    clips = [noise(44_100, seed) for seed in range(10)]
    table = Listener(net)(wav(tmp_path / "x.wav", np.concatenate(clips), 44_100, "FLOAT"))
    expected = probabilities(predict(net, PICTURES(np.stack(clips))))
    np.testing.assert_allclose(table[list(SCENES)], expected, atol=1e-6)
    assert table["scene"].tolist() == [SCENES[k] for k in expected.argmax(1)]
    assert np.ptp(expected, axis=0).max() > 0.01  # the clips differ


def test_the_whole_is_the_mean_of_its_seconds(net) -> None:
    heard = Listener(net).hear(noise(7 * RATE), RATE)
    means = heard.table[list(SCENES)].mean()
    np.testing.assert_allclose(heard.answer, means, atol=1e-6)
    assert heard.scene == means.idxmax() and heard.answer.sum() == pytest.approx(1)
    assert heard.notes == () and not heard.damaged


def test_a_waveform_is_heard_as_the_file_of_it(net, tmp_path) -> None:
    x = noise(3 * RATE + 5)
    path = wav(tmp_path / "x.wav", x, RATE, "FLOAT")
    for given in (x, x.astype(np.float64), torch.from_numpy(x)):
        pd.testing.assert_frame_equal(Listener(net)(given, RATE), Listener(net)(path))


def test_another_front_end_is_given_seconds_at_44_100_hertz(tmp_path) -> None:
    class Levels:
        def __init__(self) -> None:
            self.settings = {"bands": 1}

        def shape(self) -> tuple[int, ...]:
            return (1, 1, 1)

        def __call__(self, x: np.ndarray) -> Tensor:
            return torch.from_numpy(x).float().square().mean(1).reshape(-1, 1, 1, 1)

    x, model = noise(2 * RATE), Recorder(2)
    Listener(model, classes=("dog", "siren"), front_end=Levels())(x, RATE)
    seconds = resample(torch.from_numpy(x).reshape(2, RATE), RATE, 44_100)
    torch.testing.assert_close(model.seen[0], Levels()(seconds.numpy()))


def test_silence_and_nan_inside_have_no_answer_and_no_vote(net, tmp_path) -> None:
    x = noise(6 * RATE)
    x[RATE : 2 * RATE] = 0
    x[4 * RATE + 7] = np.nan
    path = wav(tmp_path / "x.wav", x, RATE, "FLOAT")
    heard = Listener(net).hear(path)
    missing = heard.table["scene"].isna()
    assert missing.tolist() == [False, True, False, False, True, False] and heard.damaged
    assert heard.table[list(SCENES)].isna().all(axis=1).equals(missing)
    sound = np.delete(x.reshape(6, RATE), (1, 4), axis=0).ravel()
    alone = Listener(net).hear(sound, RATE)
    np.testing.assert_allclose(heard.answer, alone.answer, atol=1e-6)
    assert heard.notes == (
        f"{path}: 1 of 6 seconds are silent: they have no answer",
        f"{path}: 1 of 6 seconds are NaN or infinite: they have no answer",
    )
    with pytest.warns(UserWarning, match="1 of 6 seconds are silent"):
        Listener(net)(path)


@pytest.mark.parametrize(
    "samples, reason",
    [
        (noise(RATE - 1), "is shorter than a second"),
        (np.zeros(3 * RATE), "is silent throughout"),
        (np.full(3 * RATE, np.nan), "is NaN or infinite throughout"),
        (
            np.concatenate([np.zeros(RATE), np.full(RATE, np.inf)]),
            "has seconds that are silent or NaN or infinite only",
        ),
        (noise(3 * RATE) * 1e5, "times full scale"),
    ],
)
def test_what_cannot_be_heard_at_all_is_an_error_that_says_why(net, tmp_path, samples, reason):
    path = wav(tmp_path / "x.wav", samples, RATE, "FLOAT")
    with pytest.raises(CorpusError) as caught:
        Listener(net)(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)


@pytest.mark.parametrize(
    "x, rate, message",
    [
        *((noise(RATE), rate, "in hertz") for rate in (None, 0, 1, 999, 16_000.0, np.nan, "8000")),
        (noise(2 * RATE).reshape(2, -1), RATE, r"a waveform is \(samples,\), not \(2, 8000\)"),
        (np.ones(RATE, np.int16), RATE, "holds floats, not int16: divide by 32768"),
        (1e4 * noise(RATE), RATE, "floats in the scale of integers"),
    ],
)
def test_a_waveform_of_another_form_is_refused(net, x, rate, message) -> None:
    with pytest.raises(ValueError, match=message):
        Listener(net)(x, rate)


def test_a_file_is_given_no_rate(net, tmp_path) -> None:
    with pytest.raises(ValueError, match="a file knows its rate"):
        Listener(net)(wav(tmp_path / "x.wav", tone(), 44_100), 44_100)


# ---- who listens -----------------------------------------------------------------------------


def test_a_tflite_file_listens_as_its_network_does(student, tmp_path) -> None:
    path, x = export(student, tmp_path / "x.tflite"), noise(5 * RATE)
    ours, its = (Listener(model).hear(x, RATE).answer for model in (student, path))
    np.testing.assert_allclose(ours, its, atol=0.05)
    assert ours.idxmax() == its.idxmax()
    with pytest.raises(FileNotFoundError, match="no such file"):
        Listener(tmp_path / "absent.tflite")


def test_a_run_brings_its_classes_and_front_end(small, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    wide = LogMel(sample_rate=16_000, n_mels=40)
    data = Data(str(small), front_end=wide)
    plan = Training(epochs=1, batch_size=16)
    run = Run(TMSIC, data, plan)
    one = Listener(run)
    assert one.front_end is wide and one.classes == SCENES
    x = noise(RATE)
    expected = probabilities(predict(run.net(), wide(x[None], RATE)))
    np.testing.assert_allclose(one(x, RATE)[list(SCENES)], expected, atol=1e-6)
    member = Run(partial(TMSIC, n_classes=2), data.against("airport"), plan)
    assert Listener(member).classes == ("airport", "others")


def test_a_kept_teacher_and_its_members_listen(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASCLIB_STORE", str(tmp_path))
    folder = str(min((PROJECT / "results" / "teachers").iterdir()))
    x = noise(2 * RATE)
    assert list(Listener(Kept(folder)).hear(x, RATE).answer.index) == list(SCENES)
    assert list(Listener(Kept(folder, "member_bus")).hear(x, RATE).answer.index) == [
        "bus",
        "others",
    ]


def test_probabilities_are_taken_as_such_and_not_flattened(net) -> None:
    x = noise(3 * RATE)

    def soft(pictures: Tensor) -> Tensor:
        return net(pictures).softmax(1)

    with pytest.raises(ValueError, match="say answers='probabilities'"):
        Listener(soft)(x, RATE)
    given = Listener(soft, answers="probabilities")(x, RATE)
    pd.testing.assert_frame_equal(given, Listener(net)(x, RATE), atol=1e-6)
    with pytest.raises(ValueError, match="no probabilities: say answers='logits'"):
        Listener(net, answers="probabilities")(x, RATE)


def test_a_model_that_does_not_fit_is_refused(net) -> None:
    x = noise(RATE)
    with pytest.raises(ValueError, match=r"answers \(1, 10\) to 1 pictures, .* 2 classes"):
        Listener(net, classes=("dog", "siren"))(x, RATE)
    with pytest.raises(ValueError, match="answers NaN"):
        Listener(lambda pictures: torch.full((len(pictures), 10), np.nan))(x, RATE)
    with pytest.raises(TypeError, match="of type int hears nothing"):
        Listener(3)
    with pytest.raises(ValueError, match="two classes have one name"):
        Listener(net, classes=("dog", "dog"))
    with pytest.raises(ValueError, match="'logits' or 'probabilities', not 'softmax'"):
        Listener(net, answers="softmax")


# ---- the command -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(student, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "student.safetensors"
    save_file(student.state_dict(), path)
    return str(path)


def test_files_that_fail_are_a_line_each_and_the_others_go_on(weights, student, tmp_path, capsys):
    good = [
        wav(tmp_path / name, noise(3 * RATE, s), RATE)
        for s, name in enumerate("a.wav b.flac".split())
    ]
    bad = [
        wav(tmp_path / "short.wav", noise(100), RATE),
        wav(tmp_path / "silent.wav", np.zeros(2 * RATE), RATE),
        tmp_path / "absent.wav",
    ]
    text = tmp_path / "text.wav"
    text.write_text("no sound\n")
    files = [str(path) for path in (good[0], *bad, text, good[1])]
    outputs = tmp_path / "out.csv", tmp_path / "out.json"
    arguments = [*files, "--model", weights, "--csv", str(outputs[0]), "--json", str(outputs[1])]
    assert command.main(arguments) == 1
    said = capsys.readouterr()
    assert [line.split(": ")[0] for line in said.err.splitlines()] == files[1:5]
    expected = {str(path): Listener(student).hear(path) for path in good}
    assert [line for line in said.out.splitlines() if line.startswith("decision")] == [
        f"decision: {one.scene}" for one in expected.values()
    ]
    table = pd.read_csv(outputs[0])
    assert list(table) == ["file", "start_s", "scene", *SCENES, "decision"]
    for path, one in expected.items():
        own = table[table["file"] == path].reset_index(drop=True)
        assert own["scene"].tolist() == one.table["scene"].tolist()
        np.testing.assert_allclose(own[list(SCENES)], one.table[list(SCENES)], atol=1e-4)
        assert set(own["decision"]) == {one.scene}
    entries = json.loads(outputs[1].read_text())
    assert [entry["file"] for entry in entries] == files
    assert [("error" in entry) for entry in entries] == [False, True, True, True, True, False]
    assert entries[0]["decision"] == expected[files[0]].scene
    assert [s["start_s"] for s in entries[0]["seconds"]] == [0, 1, 2]


def test_silent_seconds_are_null_in_json_and_no_failure(weights, tmp_path, capsys) -> None:
    x = noise(3 * RATE)
    x[:RATE] = 0
    path, output = wav(tmp_path / "x.wav", x, RATE), tmp_path / "out.json"
    assert command.main([str(path), "--model", weights, "--json", str(output)]) == 0
    assert "1 of 3 seconds are silent" in capsys.readouterr().err
    first, second, _ = json.loads(output.read_text())[0]["seconds"]
    assert first == {"start_s": 0, "scene": None, "probabilities": None}
    assert second["scene"] in SCENES and list(second["probabilities"]) == list(SCENES)


def test_a_damaged_file_has_its_answer_and_fails(weights, tmp_path, capsys) -> None:
    x = noise(3 * RATE)
    x[5] = np.nan
    path = wav(tmp_path / "x.wav", x, RATE, "FLOAT")
    assert command.main([str(path), "--model", weights]) == 1
    said = capsys.readouterr()
    assert "decision: " in said.out and "1 of 3 seconds are NaN or infinite" in said.err


@pytest.mark.parametrize(
    "model, message",
    [
        ("absent.tflite", "no such file"),
        ("absent.safetensors", "No such file"),
        ("student.onnx", "give module:factory"),
        ("asclib.networks:Nobody", "has no Nobody"),
    ],
)
def test_a_model_that_is_none_ends_the_command(model, message, tmp_path, capsys) -> None:
    path = wav(tmp_path / "x.wav", tone(), 44_100)
    assert command.main([str(path), "--model", model]) == 2
    assert message in capsys.readouterr().err


def test_weights_of_another_network_and_wrong_classes_are_named(weights, tmp_path, capsys) -> None:
    path = str(wav(tmp_path / "x.wav", tone(), 44_100))
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    assert command.main([path, "--model", str(other)]) == 2
    assert "holds no weights of a TMSIC" in capsys.readouterr().err
    assert command.main([path, "--model", weights, "--classes", "dog,siren"]) == 2
    assert "there are 2 classes" in capsys.readouterr().err


def test_what_cannot_be_written_is_told_before_anything_is_heard(weights, tmp_path, capsys) -> None:
    path = str(wav(tmp_path / "x.wav", tone(), 44_100))
    output = str(tmp_path / "absent" / "out.csv")
    assert command.main([path, "--model", weights, "--csv", output]) == 2
    said = capsys.readouterr()
    assert "has no folder to be in" in said.err and said.out == ""


def test_neither_can_a_folder(weights, tmp_path, capsys) -> None:
    path = str(wav(tmp_path / "x.wav", tone(), 44_100))
    assert command.main([path, "--model", weights, "--json", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "is a folder: name a file in it" in said.err and said.out == ""


def test_a_name_with_a_line_end_is_told_in_a_line_and_stored_as_it_is(
    weights, tmp_path, capsys
) -> None:
    names = [str(tmp_path / "two\nlines.wav"), str(tmp_path / "two\r\nmore.wav")]
    x = noise(2 * RATE)
    x[:RATE] = 0
    wav(Path(names[0]), x, RATE)
    output = tmp_path / "out.csv"
    assert command.main([*names, "--model", weights, "--csv", str(output)]) == 1
    said = capsys.readouterr()
    assert "two\\nlines.wav: 2 s" in said.out
    note, error = said.err.splitlines()
    assert "two\\nlines.wav: 1 of 2 seconds are silent" in note
    assert "two\\r\\nmore.wav: cannot be opened" in error
    assert set(pd.read_csv(output)["file"]) == {names[0]}


def test_a_name_that_is_no_text_is_printed_all_the_same(weights, tmp_path) -> None:
    path = tmp_path / "caf\udce9.wav"  # the byte of a Latin-1 é
    wav(tmp_path / "x.wav", noise(RATE), RATE).rename(path)
    run = [sys.executable, "-m", "asclib", "listen", path, f"{path}.absent", "--model", weights]
    done = subprocess.run(
        [*run, "--csv", tmp_path / "out.csv"], capture_output=True, text=True, cwd=PROJECT
    )
    assert done.returncode == 1
    assert "caf\\udce9.wav: 1 s" in done.stdout and "caf\\udce9.wav.absent" in done.stderr
    assert "caf\\udce9.wav,0," in (tmp_path / "out.csv").read_text()


def test_without_a_model_the_trained_student_listens(tmp_path, capsys):
    x = noise(3 * RATE)
    assert command.main([str(wav(tmp_path / "x.wav", x, RATE, "FLOAT"))]) == 0
    said = capsys.readouterr()
    assert "synthetic sound" in said.err
    scene = Listener(PROJECT / "models" / "student.safetensors").hear(x, RATE).scene
    assert f"decision: {scene}" in said.out


def test_where_there_is_no_trained_student_that_of_the_quick_profile_is_asked(tmp_path):
    assert command.student_alone(tmp_path / "student.safetensors") == Experiment("quick").student()


def test_weights_of_other_widths_and_classes_listen(tmp_path, capsys) -> None:
    path, weights = tmp_path / "x.wav", tmp_path / "narrow.safetensors"
    wav(path, noise(2 * RATE), RATE)
    save_file(TMSIC(2, (3, 4, 5, 6)).state_dict(), weights)
    arguments = [str(path), "--model", str(weights), "--classes", "dog,siren"]
    assert command.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-2] in ("decision: dog", "decision: siren")


def test_one_entry_runs_it_with_a_network_of_one_s_own(tmp_path) -> None:
    (tmp_path / "mynets.py").write_text(
        "import torch\n"
        "class Loud(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1)\n"
        "def make(): return Loud()\n"
    )
    soundfile.write(tmp_path / "x.wav", noise(2 * RATE), RATE)
    code = "asclib", "listen", "x.wav", "--model", "mynets:make", "--classes", "loud,quiet"
    done = subprocess.run(
        [sys.executable, "-m", *code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": "", "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "decision: quiet" in done.stdout  # nepers of soft noise are below zero


def test_long_recordings_have_a_bar_and_short_ones_none(tmp_path, monkeypatch) -> None:
    bars = tmp_path / "bars"
    monkeypatch.setenv("ASCLIB_PROGRESS", str(bars))
    monkeypatch.setattr(listener, "LONG", 40)
    for seconds in (39, 40):
        path = wav(tmp_path / f"{seconds}.wav", noise(seconds * RATE), RATE)
        Listener(Recorder())(path)
        assert bars.exists() == (seconds == 40)
    assert "40.wav, blocks" in bars.read_text()
