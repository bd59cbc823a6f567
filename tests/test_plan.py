"""The plan of a run: which trainings a chapter asks for, and what they cost; none is done."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from asclib.complexity import complexity
from asclib.networks import TMSIC
from asclib.runs import Experiment, build, profiles
from asclib.store import root
from tests.data import PLAN, TINY
from tools import book, plan, rehearsal

HEAD = """# %% tags=["parameters"]
profile = "tiny"
data_root = None
seed = 0

# %%
from dataclasses import replace
from asclib.runs import Experiment, build
from asclib.training import predict

experiment = Experiment(profile, data_root, seed)
"""


@pytest.fixture(autouse=True)
def tiny_profile(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile "tiny", in a store that holds its clips."""
    monkeypatch.setitem(profiles.PROFILES, "tiny", TINY)


def asked(tmp_path: Path, text: str, **given: object) -> rehearsal.Asked:
    """What a chapter of these cells asks for."""
    source = tmp_path / "chapter.py"
    source.write_text(HEAD + text)
    with rehearsal.tables_alone():
        return rehearsal.rehearse(source, given)


# ---- what a chapter trains -------------------------------------------------------------------


def test_what_a_chapter_builds_is_known_though_its_clips_and_answers_are_not(
    tmp_path: Path,
) -> None:
    chapter = asked(
        tmp_path,
        """
student, test = experiment.student(), experiment.clips("test")
best = predict(student.net(), test.x).argmax(1)
print((best == test.labels).float().mean())
short = replace(experiment.profile.student, epochs=1)
runs = {"short": replace(student, plan=short)}
for name in ("response", "rrs"):
    runs[name] = experiment.taught(name, plan=short)
build(list(runs.values()))
""",
    )
    with rehearsal.tables_alone():
        own = Experiment(TINY)
        expected = [own.student(), *(own.taught(name) for name in ("response", "rrs"))]
        assert set(chapter.runs) == set(expected)
    assert chapter.gaps == []


def test_parameters_are_those_given(tmp_path: Path) -> None:
    chapter = asked(tmp_path, "build([experiment.student()])\n", seed=7)
    assert [run.seed for run in chapter.runs] == [7]


def test_a_function_of_the_chapter_may_build(tmp_path: Path) -> None:
    text = """
def taught(name):
    run = experiment.taught(name)
    build([run])
    return run.net()


net = taught("response")
"""
    assert len(asked(tmp_path, text).runs) == 1


def test_what_depends_on_a_training_is_called_a_gap(tmp_path: Path) -> None:
    text = """
best = max(("response", "rrs"), key=lambda name: float(predict(
    experiment.taught(name).net(), experiment.clips("validation").x).max()))
build([experiment.taught(best)])
"""
    search, last = asked(tmp_path, text).gaps
    assert search.startswith("chapter: best = max(")
    assert last.startswith("chapter: build([experiment.taught(best)])")


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("for seed in range(3):\n    experiment.student().net()\n    {}[0]\n", True),
        ("print({}[0], experiment.taught('rrs').seconds())\n", True),
        (
            "build([experiment.taught('rrs')])\nprint({}[0], experiment.taught('rrs').net())\n",
            False,
        ),
        ("build([experiment.taught('rrs')])\nprint({}[0], experiment.teacher().net())\n", False),
        ("build([experiment.student()]) or {}[0]\n", False),
    ],
)
def test_what_stops_before_it_has_asked_for_all_is_called_a_gap(
    tmp_path: Path, text: str, missed: bool
) -> None:
    assert bool(asked(tmp_path, text).gaps) == missed


def test_trainings_without_labels_stop_at_no_patience_and_validate_on_nobody() -> None:
    waits = replace(PLAN, epochs=50, patience=3)
    with rehearsal.tables_alone():
        experiment = Experiment(TINY)
        run = experiment.pretrained("vicreg", waits)
        piece = ledger(run).pieces["run", run]
        fit = len(experiment.table("fit"))
    assert piece.steps == plan.Span(50 * (fit // PLAN.batch_size), 50 * (fit // PLAN.batch_size))
    seen = PLAN.batch_size * piece.steps.most / 50
    assert piece.work.most == pytest.approx(2 * 50 * seen, rel=0.2)  # two views of each clip


def test_each_set_of_versions_takes_its_own_place(tmp_path: Path) -> None:
    text = """
from dataclasses import replace
from asclib.augmentation import SixFold
for subset in (None, 50):
    experiment = Experiment(profile, data_root, seed, subset=subset)
    build([replace(experiment.student(), data=replace(experiment.data, views=SixFold()))])
"""
    own = plan.Ledger()
    with rehearsal.tables_alone():
        chapter = tmp_path / "chapter.py"
        chapter.write_text(HEAD + text)
        own.enter(rehearsal.rehearse(chapter, {}))
    assert len([key for key in own.pieces if key[0] == "views"]) == 2


def test_statements_that_lead_to_no_training_are_not_run() -> None:
    text = """
figure = draw(results)
names = ['response']
names.append('rrs')
experiment = Experiment('quick')
runs = [experiment.taught(name) for name in names]
figure.show()
build(runs)
table = experiment.table("test")
print(table)
"""
    kept = [ast.unparse(one) for one in rehearsal.leading(ast.parse(text).body)]
    assert kept == [*text.strip().splitlines()[1:5], "build(runs)"]


def test_nothing_is_made_by_a_plan(tmp_path: Path) -> None:
    before = sorted(path.name for path in root().iterdir())
    chapter = tmp_path / "chapter.py"
    chapter.write_text(HEAD + "build([experiment.taught('fitnets')])\nexperiment.clips('train')\n")
    text = plan.report([(chapter, {})], speed=500)
    assert sorted(path.name for path in root().iterdir()) == before
    assert "Not understood" not in text


# ---- what it costs ---------------------------------------------------------------------------


def ledger(*runs: object) -> plan.Ledger:
    own = plan.Ledger()
    own.enter(rehearsal.Asked(runs=dict.fromkeys(runs)))
    return own


def test_the_disk_of_every_artefact_is_what_the_store_then_holds() -> None:
    """Features, copies, logits, embeddings, maps and networks: to the headers and lines of logs."""
    experiment = Experiment(TINY)
    runs = [experiment.taught(name) for name in ("fitnets", "relational_embedding")]
    build(runs)
    with rehearsal.tables_alone():
        again = Experiment(TINY)
        own = ledger(*(again.taught(name) for name in ("fitnets", "relational_embedding")))
    found: dict[str, int] = {}
    for path in root().glob("*/*"):
        kind = {"x.npy": "clips", "answers.npy": "answers", "identifiers.csv": "answers"}
        kind |= {"features.npy": "features", "weights.safetensors": "run"}
        if path.name in kind and path.parent.name.startswith(kind[path.name]):
            found[kind[path.name]] = found.get(kind[path.name], 0) + path.stat().st_size
    planned: dict[str, float] = {}
    for key, piece in own.pieces.items():
        planned[key[0]] = planned.get(key[0], 0) + piece.size
    assert {"features", "answers", "run"} <= found.keys()
    for kind in ("features", "answers", "run"):
        assert planned[kind] == pytest.approx(found[kind], rel=0.03), kind
    sizes = [path.stat().st_size for path in root().glob("clips-*/x.npy")]
    for key, piece in own.pieces.items():
        if key[0] == "clips":
            assert any(piece.size == pytest.approx(size, abs=200) for size in sizes)


def test_steps_are_those_that_are_taken() -> None:
    experiment = Experiment(replace(TINY, student=replace(PLAN, epochs=3)))
    fit = len(experiment.clips("fit").x)
    with rehearsal.tables_alone():
        student = ledger(Experiment(experiment.profile).student())
    [run] = [piece for piece in student.pieces.values() if piece.trainings]
    assert run.steps == plan.Span(3 * (fit // 16), 3 * (fit // 16))


def test_patience_may_end_a_training_early_and_ten_members_take_ten_times_as_long() -> None:
    waits = replace(PLAN, epochs=200, patience=20)
    with rehearsal.tables_alone():
        experiment = Experiment(replace(TINY, student=waits, fusion=waits, member=PLAN))
        own = ledger(experiment.teacher(), experiment.student())
        fusion, student = (
            own.pieces["run", one] for one in (experiment.teacher(), experiment.student())
        )
        longest = own.chains[experiment.teacher()]
        member = own.pieces["run", experiment.member("bus")]
    assert student.steps.most / student.steps.least == pytest.approx(200 / 21)
    assert fusion.work.most / student.work.most == pytest.approx(10, rel=0.01)
    assert longest.most == pytest.approx(fusion.work.most + member.work.most)
    assert sum(piece.trainings for piece in own.pieces.values()) == 12


def test_a_network_costs_what_it_multiplies() -> None:
    wide = TMSIC(widths=(30, 42, 42, 24))
    with rehearsal.tables_alone():
        experiment = Experiment(TINY)
        own = ledger(experiment.assistant(), experiment.student())
        assistant, student = (
            own.pieces["run", one].work.most
            for one in (experiment.assistant(), experiment.student())
        )
    assert assistant / student == pytest.approx(complexity(wide).macs / complexity(TMSIC()).macs)


# ---- the book's ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["quick", "study"])
def test_the_driver_prints_the_plan_of_every_profile(profile: str, capsys) -> None:
    """One chapter alone has all it needs: of RRS five trainings, the members and the fusion."""
    before = sorted(path.name for path in root().iterdir())
    book.main(["book", "--plan", "500", "--only", "rrs", "-p", "profile", profile])
    text = capsys.readouterr().out
    total = re.search(r"^in all +(\d+) ", text, re.MULTILINE)
    assert total
    assert int(total[1]) == 1 + 1 + 2 + 1 + 11
    assert sorted(path.name for path in root().iterdir()) == before


def test_every_chapter_of_the_book_is_understood(capsys) -> None:
    book.main(["book", "--plan", "500"])
    text = capsys.readouterr().out
    assert "Not understood" not in text
    named = re.findall(r"^(\w+) +\d", text, re.MULTILINE)
    assert named[:-1] == [path.stem for path in book.chapters()]  # then: "With 2 at a time"


def test_tau_is_planned_from_its_tables(tau_corpus, capsys) -> None:
    """139,620 clips, of which four fifths are learnt from; no sound is there to be read."""
    folder = str(tau_corpus.root)
    given = ["-p", "profile", "tau", "-p", "data_root", folder]
    book.main(["book", "--plan", "500", "--only", "feature_maps", *given])
    text = capsys.readouterr().out
    maps = re.search(r"a teacher's maps +([\d.]+)", text)
    assert maps
    fit = tau_corpus.split("fit")
    items = len(fit) + 5 * int((fit["device"] != "a").sum())
    # conv2 with 280 channels, conv4 and norm4 with 160, on a grid of 140, in two bytes
    assert float(maps[1]) == pytest.approx((280 + 160 + 160) * 140 * 2 * items / 1e9, rel=0.01)
