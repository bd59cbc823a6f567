"""From a model to the zip: what is written is what `check` accepts, and what the model answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from asclib import features
from asclib.__main__ import main
from asclib.challenge import SCENES
from asclib.challenge import submission as submission_module
from asclib.challenge.check import check
from asclib.challenge.inference import DeviceModels, load_model, predict, save_models
from asclib.challenge.meta import BLANK
from asclib.challenge.outputs import find_outputs
from asclib.challenge.submission import EXTRAS, Submission, entry
from asclib.challenge.systems import answers_of, system
from asclib.complexity import complexity_of_file
from asclib.corpus import CorpusError
from asclib.features import LogMel
from asclib.litert import LiteRT
from asclib.networks import TMSIC
from asclib.runs.data import Data
from asclib.store import PROJECT
from tests.corpora import TEST, write_table
from tests.packages import FOLDER, LABEL, about, submission

STUDENT = str(PROJECT / "models" / "student_int8.tflite")


@pytest.fixture(scope="module")
def folders(tiny_store, tmp_path_factory) -> tuple[Path, Path, Path]:
    """A development set, an evaluation set of the same test clips, and the truth of that."""
    from tests.data import TINY

    root = Data(TINY.corpus).corpus.root
    test = Data(str(root)).corpus.split("test").iloc[::-1]
    base = tmp_path_factory.mktemp("sets")
    names = [f"audio/{number}.wav" for number in range(len(test))]
    (base / "evaluation/audio").mkdir(parents=True)
    for name, file in zip(names, test["filename"], strict=True):
        os.link(root / file, base / "evaluation" / name)
    rows = [f"{name}\t{device}" for name, device in zip(names, test["device"], strict=True)]
    write_table(base / "evaluation" / TEST, "filename\tdevice_id", rows)
    truth = [f"{row}\t{scene}" for row, scene in zip(rows, test["scene"], strict=True)]
    write_table(base / "truth.csv", "filename\tdevice_id\tscene_label", truth)
    return root, base / "evaluation", base / "truth.csv"


def student(seed: int = 0, classes: int = 10) -> TMSIC:
    torch.manual_seed(seed)
    return TMSIC(classes)


def weights(path: Path, seed: int = 0, net: TMSIC | None = None) -> Path:
    save_file((net or student(seed)).state_dict(), path)
    return path


def pictures(evaluation: Path) -> torch.Tensor:
    """What the networks hear of an evaluation set."""
    data = Data(str(evaluation))
    return torch.from_numpy(np.array(features.load(data.features, data.corpus.split("evaluation"))))


def about_file(year: int, path: Path) -> Path:
    path.write_text(yaml.safe_dump(about(year)))
    return path


def write(year: int, path: Path, folders, *more: str) -> int:
    """`package write`, with an about.yaml that was filled in."""
    development, evaluation, _ = folders
    told = about_file(year, path.with_suffix(".yaml"))
    command = ["package", "write", str(path), "--year", str(year), "--about", str(told)]
    sets = ["--data_root", str(development), "--evaluation", str(evaluation)]
    return main([*command, *sets, *more])


def read(path: Path, name: str, tmp_path: Path) -> pd.DataFrame:
    with zipfile.ZipFile(path) as zipped:
        zipped.extract(name, tmp_path)
    return find_outputs(tmp_path, name, [])


@pytest.mark.parametrize("year", [2022, 2023])
def test_one_command_writes_the_package_of_a_file(folders, tmp_path, capsys, year) -> None:
    path = tmp_path / "package.zip"
    assert write(year, path, folders, "--model", STUDENT) == 0
    said = capsys.readouterr().out
    assert "180 clips answered" in said and "has 118,800 clips: this is another" in said
    names = [f"{number}.wav" for number in range(180)]
    assert check(path, year, names).empty
    expected = torch.from_numpy(LiteRT(STUDENT)(pictures(folders[1]))).double().softmax(1).numpy()
    table = read(path, f"{FOLDER}/{LABEL}.output.csv", tmp_path)
    assert table["filename"].tolist() == names
    assert table[list(SCENES)].to_numpy() == pytest.approx(expected, rel=1e-6)
    with zipfile.ZipFile(path) as zipped:
        meta = yaml.safe_load(zipped.read(f"{FOLDER}/{LABEL}.meta.yaml"))
    counted = complexity_of_file(STUDENT)
    assert meta["system"]["complexity"]["macs"] == counted.macs
    assert meta["system"]["complexity"]["total_parameters"] == counted.parameters
    if year == 2023:
        assert meta["system"]["complexity"]["total_model_size"] == counted.stored
        non_zero = meta["system"]["complexity"]["total_parameters_non_zero"]
        assert 0.9 * counted.parameters < non_zero <= counted.parameters


def test_results_and_answers_are_of_the_sets_that_were_named(folders, tmp_path, capsys) -> None:
    """The evaluation set here is the development test in another order: both scores are equal."""
    path = tmp_path / "package.zip"
    write(2023, path, folders, "--model", STUDENT)
    with zipfile.ZipFile(path) as zipped:
        meta = yaml.safe_load(zipped.read(f"{FOLDER}/{LABEL}.meta.yaml"))
    results = meta["results"]["development_dataset"]
    capsys.readouterr()
    assert main(["package", "score", str(path), "--year", "2023", "--truth", str(folders[2])]) == 0
    said = capsys.readouterr().out
    overall = next(line for line in said.splitlines() if "overall" in line).split()
    assert float(overall[3]) == results["overall"]["accuracy"]
    assert float(overall[6]) == results["overall"]["logloss"]
    assert "ranked by the rules of 2023" in said and "weighted_rank" in said


def test_2024_takes_a_model_for_each_subset(folders, tmp_path, capsys) -> None:
    path, percents, x = tmp_path / "package.zip", (5, 10, 25, 50, 100), pictures(folders[1])
    for percent in percents:
        torch.manual_seed(percent)
        narrow = TMSIC(widths=(8, 8, 8, 8))  # 128 kB hold it as 32-bit floats
        for number in (1, 2, 3, 4):
            narrow.get_submodule(f"norm{number}").momentum = 1.0
        narrow.train()(x)  # so that it does not answer every clip alike
        weights(tmp_path / f"{percent}.safetensors", net=narrow)
    models = [f"--model={p}={tmp_path / f'{p}.safetensors'}" for p in percents]
    assert write(2024, path, folders, *models[:4]) == 2
    assert "5, 10, 25, 50, 100 %; given: 5, 10, 25, 50" in capsys.readouterr().err
    assert write(2024, path, folders, *models) == 0
    names = [f"{number}.wav" for number in range(180)]
    assert check(path, 2024, names).empty
    assert main(["package", "score", str(path), "--year", "2024", "--truth", str(folders[2])]) == 0
    said = capsys.readouterr().out
    each = [float(line.split()[3]) for line in said.splitlines() if "overall" in line]
    ranked = next(line for line in said.splitlines() if line.startswith(f"{LABEL} "))
    assert len(each) == 5 and len(set(each)) > 1
    assert float(ranked.split()[1]) == pytest.approx(np.mean(each), abs=0.01)


def test_the_package_of_2025_infers_by_itself(folders, tmp_path) -> None:
    """As the organisers run it: from its own folder, with the asclib that it carries."""
    path = tmp_path / "package.zip"
    general, own = weights(tmp_path / "g.safetensors"), weights(tmp_path / "a.safetensors", 1)
    assert write(2025, path, folders, "--model", f"general={general}", f"--model=a={own}") == 0
    names = [f"{number}.wav" for number in range(180)]
    assert check(path, 2025, names).empty
    with zipfile.ZipFile(path) as zipped:
        zipped.extractall(tmp_path / "unpacked")
    home, evaluation = tmp_path / "unpacked/inference", folders[1]
    devices = Data(str(evaluation)).corpus.clips["device"].tolist()
    rows = [devices.index("a"), devices.index("s5")]
    code = f"""
import json, sys, asclib
from Lee_TUNI_task1 import {LABEL} as api
files = {[str(evaluation / f"audio/{row}.wav") for row in rows]}
logits, scenes = api.predict(files, ["a", "s5"])
model = api.load_model()
inputs = api.load_inputs(files, ["a", "s5"], model)
nets = [api.get_model_for_device(model, device) for device in ("a", "s5")]
again = [net(x)[0].float().tolist() for net, x in zip(nets, inputs)]
given = [one.softmax(0).tolist() for one in logits]
libraries = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps([given, again, [one.tolist() for one in logits], scenes, asclib.__file__,
                  [n for n in libraries if "site-packages" in str(sys.modules[n])]]))
"""
    environment = {**os.environ, "PYTHONPATH": str(home)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shares, again, logits, scenes, library, loaded = json.loads(done.stdout)
    assert Path(library).is_relative_to(home) and scenes == list(SCENES)
    table = find_outputs(tmp_path / "unpacked", f"{FOLDER}/{LABEL}.output.csv", [])
    assert np.array(shares) == pytest.approx(table[list(SCENES)].to_numpy()[rows], abs=1e-3)
    assert np.array(again) == pytest.approx(np.array(logits), abs=0.02)  # in 16 bits
    asked = {name.replace("-", "_") for name in EXTRAS.split()}
    needed = {"numpy", "torch", "librosa", "soxr", "soundfile", "pandas", "safetensors", "h5py"}
    assert needed & set(loaded) <= asked | {"sklearn"}
    counted = json.loads((home / f"predictions/{LABEL}/complexity.json").read_text())
    assert counted["max_Params"] == 2 * 51_986 and set(counted["per_device"]) >= {"a", "s10"}


def test_the_models_of_devices_are_kept_apart(folders, tmp_path) -> None:
    models = DeviceModels({"general": student(0), "a": student(1)})
    save_models(models, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    x = torch.randn(2, 1, 140, 8).half()
    for device, seed in (("a", 1), ("b", 0), ("unknown", 0)):
        torch.testing.assert_close(again.of(device)(x), student(seed).eval().half()(x))
    file = str(folders[1] / "audio/0.wav")
    logits, _ = predict(again, [file, file, file], ["b", "a", "s9"])
    assert torch.equal(logits[0], logits[2]) and not torch.equal(logits[0], logits[1])
    with pytest.raises(ValueError, match="no model is named 'general'"):
        DeviceModels({"a": student()})
    with pytest.raises(ValueError, match="the model of a is no TMSIC of 10 scenes"):
        DeviceModels({"general": student(), "a": student(classes=2)})
    for device in ("S1", "d", "nobody"):
        with pytest.raises(ValueError, match=f"'{device}' is no device: name one of a, b, c, s1"):
            DeviceModels({"general": student(), device: student()})


def test_weights_of_another_network_are_no_models_by_device(tmp_path) -> None:
    other = {"layers.0.weight": torch.zeros(3), "layers.0.bias": torch.zeros(3)}
    narrow = {f"nets.general.{name}": w for name, w in student(classes=2).state_dict().items()}
    for name, weight in {"plain": student().state_dict(), "other": other, "narrow": narrow}.items():
        save_file(weight, tmp_path / name)
    (tmp_path / "text").write_text("no weights")
    for name in ("plain", "other", "narrow", "text", "absent"):
        with pytest.raises(ValueError, match=f"{name} holds no models by device: name the file"):
            load_model(tmp_path / name)


def test_a_package_of_2025_carries_one_front_end(folders) -> None:
    front_end = LogMel(16_000, 1024, 512, 60)
    one = system(student())
    systems = {"general": one, "s2": replace(one, front_end=front_end)}
    with pytest.raises(ValueError, match="the model of s2 hears through another front end"):
        entry(2025, systems, about(2025), development=folders[0], evaluation=folders[1])


def test_a_run_is_exported_and_its_own_file_is_answered_for(folders, experiment) -> None:
    run = experiment.student()
    made = system(run, kind="float16")
    floating = system(run)
    assert made.bits == 16 and floating.bits == 32 and made.net is None
    assert made.cost.macs == floating.cost.macs == 25_376_896
    one, other = (answers_of(each, folders[1])[1] for each in (made, floating))
    assert one == pytest.approx(other, abs=0.02) and not np.array_equal(one, other)


def test_systems_join_a_package_and_none_is_overwritten(folders, tmp_path, capsys) -> None:
    path = tmp_path / "package.zip"
    assert write(2022, path, folders, "--model", STUDENT) == 0
    before = path.read_bytes()
    assert write(2022, path, folders, "--model", STUDENT) == 2
    assert f"{LABEL} already: give another index" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert write(2022, path, folders, "--model", STUDENT, "--index", "2") == 0
    with zipfile.ZipFile(path) as zipped:
        labels = {name.split("/")[1] for name in zipped.namelist()}
    assert labels == {LABEL, "Lee_TUNI_task1_2"}


def test_a_package_with_a_fault_is_not_written(tmp_path) -> None:
    made = submission(2022)
    one = made.entries[0]
    spoilt = replace(one, outputs={100: one.outputs[100].assign(scene_label="beach")})
    with pytest.raises(ValueError, match="unknown scene 'beach'"):
        Submission(2022, [spoilt], made.expected).write(tmp_path / "p.zip")
    assert not list(tmp_path.iterdir())
    assert (
        made.write(tmp_path / "p.zip").read_bytes() == made.write(tmp_path / "q.zip").read_bytes()
    )


def test_a_target_that_is_no_zip_stays_as_it_is(tmp_path) -> None:
    (tmp_path / "p.zip").write_text("notes of mine")
    with pytest.raises(CorpusError, match="p.zip: is no readable zip"):
        submission(2022).write(tmp_path / "p.zip")
    assert (tmp_path / "p.zip").read_text() == "notes of mine"


def test_the_faults_of_a_system_that_lies_there_are_told(tmp_path) -> None:
    """What is written is checked as a whole."""
    made = submission(2022)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as old:
        old.writestr("task1/Lee_TUNI_task1_2/Lee_TUNI_task1_2.meta.yaml", "label: 2")
    with pytest.raises(CorpusError, match=r"Lee_TUNI_task1_2.output.csv: is missing") as caught:
        made.write(tmp_path / "p.zip")
    assert "more faults" in caught.value.__notes__[0]


def test_a_report_goes_to_every_system(tmp_path) -> None:
    (tmp_path / "r.pdf").write_bytes(b"%PDF-1.4")
    made = replace(submission(2023), report=tmp_path / "r.pdf")
    path = made.write(tmp_path / "p.zip")
    assert check(path, 2023, made.expected).empty
    with zipfile.ZipFile(path) as zipped:
        assert zipped.read(f"{FOLDER}/{LABEL}.technical_report.pdf") == b"%PDF-1.4"


def test_what_is_beyond_the_limits_is_not_packaged(folders, tmp_path, capsys) -> None:
    model = str(weights(tmp_path / "w.safetensors"))
    for year, reason in ((2022, "32 bits per parameter, 8 allowed"), (2023, "207,944 bytes")):
        assert write(year, tmp_path / "p.zip", folders, "--model", model) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "p.zip").exists()


def test_about_is_written_where_it_is_missing_and_refused_until_filled_in(
    folders, tmp_path, capsys
) -> None:
    told, development, evaluation = tmp_path / "about.yaml", *folders[:2]
    command = ["package", "write", str(tmp_path / "p.zip"), "--year", "2023", "--about", str(told)]
    command += ["--model", STUDENT, "--data_root", str(development)]
    command += ["--evaluation", str(evaluation)]
    assert main(command) == 1 and "fill it in" in capsys.readouterr().out
    assert main(command) == 2 and "team is 'FILL IN'" in capsys.readouterr().err
    told.write_text(told.read_text().replace("team: FILL IN", "team: ../../Lee"))
    assert main(command) == 2 and "team is '../../Lee'" in capsys.readouterr().err
    told.write_text(told.read_text().replace("team: ../../Lee", "team: Lee_TUNI"))
    assert main(command) == 2
    assert "still to be filled in: name, abbreviation, authors, number 1" in capsys.readouterr().err
    told.write_text("team: Lee_TUNI\n")
    assert main(command) == 2
    assert "about.yaml lacks name, abbreviation, authors" in capsys.readouterr().err
    assert not (tmp_path / "p.zip").exists()


@pytest.mark.parametrize(
    "more, reason",
    [
        (["--model", "absent.tflite"], "absent.tflite: no such file"),
        (["--model", "absent.safetensors"], "No such file or directory: 'absent.safetensors'"),
        (["--model", "absent.h5"], "absent.h5: no such file"),
        (["--model", "nothing"], "give module:factory"),
        (["--model", "asclib.challenge:SCENES"], "gives a tuple, not a torch.nn.Module or a Run"),
        (["--model", STUDENT, "--kind", "float16"], "is a file already"),
        (["--model", STUDENT, "--answers", "probabilities"], "no probabilities"),
        (["--model", STUDENT, "--model", STUDENT], "two models are named general"),
        (["--model", f"a={STUDENT}"], "a system of 2022 has one model"),
        ([], "a package needs a --model"),
        (["--model", STUDENT, "--report", "absent.pdf"], "absent.pdf: no such report"),
        (["--model", STUDENT, "--data_root", "{evaluation}"], "has no scenes: results are those"),
    ],
)
def test_what_cannot_be_packaged_is_said(folders, tmp_path, capsys, more, reason) -> None:
    more = [word.format(evaluation=folders[1]) for word in more]
    assert write(2022, tmp_path / "p.zip", folders, *more) == 2
    assert reason in capsys.readouterr().err


def test_nothing_is_asked_before_what_costs_nothing_is_refused(folders, monkeypatch) -> None:
    """An about.yaml that is not filled in, a fifth system that is too large."""
    monkeypatch.setattr(submission_module, "answers_of", None)
    small, large = system(STUDENT), system(student())
    sets = {"development": folders[0], "evaluation": folders[1]}
    with pytest.raises(ValueError, match=r"still to be filled in: name"):
        entry(2022, {"general": small}, about(2022) | {"name": BLANK}, **sets)
    systems = dict.fromkeys(("5", "10", "25", "50"), small) | {"100": large}
    with pytest.raises(ValueError, match="^100: .*207,944 bytes"):
        entry(2024, systems, about(2024), **sets)


def test_a_set_without_devices_cannot_be_answered_in_2025(folders, tmp_path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folders[1], bare, copy_function=os.link)
    names = [f"audio/{number}.wav" for number in range(180)]
    (bare / TEST).unlink()
    write_table(bare / TEST, "filename", names)
    one = system(student())
    with pytest.raises(ValueError, match="does not tell the devices of its clips"):
        entry(2025, {"general": one}, about(2025), development=folders[0], evaluation=bare)
    assert len(answers_of(one, bare)[1]) == 180  # as in the years without devices


# ---- the authors' networks, and tables -----------------------------------------------------------


def keras(path: Path, net: TMSIC) -> Path:
    """The weights of a TMSIC as the authors' Keras files hold them."""
    convolutions = zip((1, 2, 3, 4), ("Conv-1", "Conv-2", "Conv-3", "Conv-3_0"), strict=True)
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    with h5py.File(path, "w") as file:
        for number, name in convolutions:
            kernel = state[f"conv{number}.weight"].transpose(2, 3, 1, 0)
            file[f"model_weights/{name}/{name}/kernel:0"] = kernel
            file[f"model_weights/{name}/{name}/bias:0"] = state[f"conv{number}.bias"]
            layer = f"model_weights/batch_normalization_{number}/n"
            fields = ("weight", "bias", "running_mean", "running_var")
            theirs = ("gamma", "beta", "moving_mean", "moving_variance")
            for ours, their in zip(fields, theirs, strict=True):
                file[f"{layer}/{their}:0"] = state[f"norm{number}.{ours}"]
        for ours, name in (("dense", "lastLayer"), ("head", "dense")):
            file[f"model_weights/{name}/{name}/kernel:0"] = state[f"{ours}.weight"].T
            file[f"model_weights/{name}/{name}/bias:0"] = state[f"{ours}.bias"]
    return path


def test_a_published_network_is_scored_on_a_folder(folders, tmp_path, capsys) -> None:
    root, net = folders[0], student(3)
    path = keras(tmp_path / "student.h5", net)
    command = ["package", "score", "--data_root", str(root), "--model"]
    assert main([*command, str(path), "--csv", str(tmp_path / "scores.csv")]) == 0
    table = pd.read_csv(tmp_path / "scores.csv").set_index("group")
    clips, said = answers_of(system(net), root)
    right = pd.Series(said.argmax(1) == [SCENES.index(s) for s in clips["scene"]])
    recalls = right.groupby(clips["scene"].to_numpy()).mean()
    assert table.loc["overall", "accuracy"] == pytest.approx(recalls.mean())
    assert table.loc["scene tram", "accuracy"] == pytest.approx(recalls["tram"])

    member = str(keras(tmp_path / "member.h5", student(4, classes=2)))
    capsys.readouterr()
    assert main([*command, member]) == 2
    assert "name the scene: --scene park" in capsys.readouterr().err
    assert main([*command, member, "--scene", "park", "--csv", str(tmp_path / "m.csv")]) == 0
    table = pd.read_csv(tmp_path / "m.csv").set_index("group")
    clips, said = answers_of(system(member), root)
    park = (clips["scene"] == "park").to_numpy()
    own, others = (said.argmax(1) == 0)[park].mean(), (said.argmax(1) == 1)[~park].mean()
    assert table.loc["overall", "accuracy"] == pytest.approx((own + others) / 2)
    assert table.loc["park", "accuracy"] == pytest.approx(own)


def test_outputs_are_scored_against_a_truth(folders, tmp_path, capsys) -> None:
    root, _, truth = folders
    path = tmp_path / "package.zip"
    write(2022, path, folders, "--model", STUDENT)
    with zipfile.ZipFile(path) as zipped:
        content = zipped.read(f"{FOLDER}/{LABEL}.output.csv")
    (tmp_path / "o.csv").write_bytes(content)
    capsys.readouterr()
    command = ["package", "score", str(tmp_path / "o.csv"), "--truth", str(truth)]
    assert main([*command, "--csv", str(tmp_path / "s.csv")]) == 0
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.columns[0] == "system" and set(table["system"]) == {"o.csv"}
    table = table.set_index("group")
    clips, said = answers_of(system(STUDENT), root)
    device = (clips["device"] == "s5").to_numpy()
    label = np.array([SCENES.index(scene) for scene in clips["scene"]])
    loss = -np.log(said[np.arange(len(said)), label])
    assert table.loc["device s5", "log_loss"] == pytest.approx(loss[device].mean(), rel=1e-6)
    (tmp_path / "o.csv").write_bytes(content.replace(b"\n7.wav\t", b"\n7.wav\tx"))
    assert main(command) == 2
    assert "o.csv, row 9: 7.wav has the unknown scene 'x" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["score"], "name outputs or packages and their --truth"),
        (["score", "absent.csv", "--truth", "{truth}"], "absent.csv: is missing"),
        (["score", "absent.csv", "--truth", "absent.csv"], "absent.csv: no such file"),
        (["score", "--model", STUDENT], "a single --model is scored on the test clips"),
        (["score", "--model", STUDENT, "--data_root", "{evaluation}"], "has no scenes"),
        (["check", "absent.zip", "--year", "2022"], "absent.zip: no such package"),
    ],
)
def test_what_cannot_be_scored_or_checked_is_said(folders, capsys, arguments, reason) -> None:
    _, evaluation, truth = folders
    assert (
        main(["package", *(a.format(truth=truth, evaluation=evaluation) for a in arguments)]) == 2
    )
    assert reason in capsys.readouterr().err


def test_a_package_with_a_fault_is_not_ranked(folders, tmp_path, capsys) -> None:
    path = submission(2022).write(tmp_path / "p.zip")  # answers 30 clips of 180
    command = ["package", "score", str(path), "--truth", str(folders[2]), "--year", "2022"]
    assert main(command) == 2
    output = capsys.readouterr()
    assert f"{LABEL}.output.csv: 30.wav is missing, and so are 149 more" in output.err
    assert output.out == ""
    path.write_text("no zip")
    assert main(command) == 2
    assert "p.zip: is no readable zip" in capsys.readouterr().err


def test_check_prints_every_fault_and_counts_them(tmp_path, capsys, folders) -> None:
    path = submission(2022).write(tmp_path / "p.zip")
    table = tmp_path / "clips.csv"
    write_table(table, "filename", [f"audio/{number}.wav" for number in range(31)])
    command = ["package", "check", str(path), "--year", "2022", "--clips", str(table)]
    assert main(command) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{FOLDER}/{LABEL}.output.csv: 30.wav is missing. Remedy: answer all 31 clips.",
        "1 problems",
    ]
    write_table(table, "filename", [f"audio/{number}.wav" for number in range(30)])
    assert main(command) == 0 and capsys.readouterr().out == "all is well\n"
    assert main([*command[:-1], str(folders[1])]) == 1  # the clips of a folder
    assert "30.wav is missing, and so are 149 more" in capsys.readouterr().out
