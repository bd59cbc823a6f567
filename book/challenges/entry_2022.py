# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2022: a student that answers
#
# ## What you will learn
# * what the challenge of 2022 asked for, and by which number it ranked;
# * the whole way of one system, from its training to the zip that is handed in;
# * which clips a log loss is made of, and how much of it one number can mend;
# * what a package may get wrong without the official validator of 2024 noticing.
#
# **Prerequisites**: [the teacher's answers](../distillation/response.ipynb),
# [eight bits](../compression/quantization.ipynb).
# **Data in**: the corpus of this run, its teacher and students; `results/slips.json` and `results/fair.json`.
# **Data out**: a package, in a temporary folder.
# **In the library**: `asclib.challenge`, `asclib.evaluation.calibration`.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from itertools import combinations
from math import comb

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from asclib.challenge import SCENES
from asclib.challenge.official import official
from asclib.challenge.systems import system
from asclib.challenge.years import YEARS
from asclib.evaluation import best_temperature, calibration, compare
from asclib.plotting import ACCENT, INK, glue, players, show, use_style
from asclib.runs import Experiment, build
from asclib.store import results

use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## What was asked
#
# Label 118,800 seconds of sound with ten scenes. Use a network of at most 128,000 parameters, whose
# weights are stored in eight bits, and at most 30 million MACs a second. Parameters that are zero count
# as all others {cite}`martinmorato2022low`.
#
# Systems were ranked by **log loss**, and by macro accuracy only where two had the same. So it did not
# suffice to be right: a system had to know how sure it could be.
#
# ## The system
#
# AI4EDGE handed in TMSIC, taught by the responses of TEO-vATMSIC, in eight bits {cite}`ai4edge2022report`.
# Here it is taught by their loss, `response_published`, which takes
# [a second softmax](../distillation/response.ipynb); epochs and augmentation are those of this run's profile.
# Beside it stands `response`, on logits as Hinton and colleagues give it {cite}`hinton2015distilling`. That is
# two changes and not one: the published loss also lacks the factor $T^2$, so its labels weigh more.

# %%
lessons = {"published": "response_published", "on logits": "response"}
runs = {name: experiment.taught(t) for name, t in lessons.items()}
build(list(runs.values()))

# %% [markdown]
# A network is handed in as a file. `system` exports it with weights and activations in eight bits, whose
# ranges are found on clips of the training split, and counts what the file costs.

# %% tags=["nbval-ignore-output"]
systems = {name: system(run, kind="full_int8")
           for name, run in runs.items()}
entered, floats = systems["published"], system(runs["published"])
costs, before = entered.costs(), floats.costs()
rules = YEARS[2022]
print(entered.cost.within(rules.limits, entered.bits))
glue("file", costs["total_model_size"] / 1000)
for key, most in (("total_parameters", rules.limits.parameters),
                  ("macs", rules.limits.macs)):
    assert costs[key] < most
    glue(key, 100 * costs[key] / most)
    glue(f"{key}_more", f"{costs[key] - before[key]:+,}")
shown = pd.DataFrame({"in floats": before, "the file": costs})
shown.filter(regex="total|macs", axis=0).map("{:,}".format)

# %% [markdown]
# The file holds {glue:text}`file:.0f` kB of numbers. Its parameters take {glue:text}`total_parameters:.0f` % of what the
# rules allow, its MACs {glue:text}`macs:.0f` %: with wider convolutions it would run out of MACs first. Exporting changed both,
# by {glue:text}`total_parameters_more` and {glue:text}`macs_more`, because of
# [the normalisations](../compression/complexity.ipynb).
#
# ## Its scores
#
# The test clips of this run stand in for the evaluation set, whose scenes are not public. Unless you name a folder, they are
# of the embedded corpus, which is synthetic. How good is the file? In brackets are 95 % intervals over locations.

# %%
def span(rows, key, unit=1, form=".2f"):
    """Figures and their intervals as they are printed."""
    ends = [unit * rows[key + end] for end in ("", "_low", "_high")]
    return ["{} ({} to {})".format(*(format(end, form) for end in row))
            for row in zip(*ends, strict=True)]


def moved(pairs):
    """For each (before, after) what changed, as printed."""
    rows = pd.DataFrame({name: vars(compare(*pair, clips))
                         for name, pair in pairs.items()}).T
    return pd.DataFrame({
        "log loss (nats)": span(rows, "log_loss", form="+.3f"),
        "accuracy (points)": span(rows, "accuracy", 100, "+.1f")}, rows.index)


# %% tags=["nbval-ignore-output"]
clips, test = experiment.table("test"), experiment.clips("test")
truth = test.labels.numpy()
said = {name: one.ask(test.x) for name, one in systems.items()}
p = said["published"]
master = system(experiment.teacher().net()).ask(test.x)
scores = pd.concat([official(p, clips), *(
    official(answers, clips).head(1).assign(group=name) for name, answers in
    (("taught on logits", said["on logits"]), ("the teacher", master)))])
scores = scores.set_index("group").rename_axis(None)
shown = pd.DataFrame({
    "log loss (nats)": span(scores, "log_loss"),
    "accuracy (%)": span(scores, "accuracy", 100, ".1f")}, scores.index)
assert np.allclose(p.sum(1), 1) and scores["log_loss"].gt(0).all()
shown.join(scores[["clips", "locations"]]).filter(
    regex="overall|device|taught|teacher", axis=0)

# %% tags=["nbval-ignore-output"]
for row in ("overall", "seen devices", "unseen devices", "the teacher"):
    both = shown.reindex([row]).fillna("–").iloc[0]
    glue(row.split()[0], "{} nats and {} %".format(*both))
price = moved({"": (floats.ask(test.x), p)}).iloc[0]
glue("price", "{} nats and {} points".format(*price))
devices = scores.filter(like="device ", axis=0)
for key, unit in (("log_loss", 1), ("accuracy", 100)):
    width = devices[f"{key}_high"] - devices[f"{key}_low"]
    glue(f"width_{key}", float(unit * width.mean()))
assert len(devices) == clips["device"].nunique()

# %% [markdown]
# The log loss of the file and its macro accuracy are {glue:text}`overall`. On devices heard in training they are
# {glue:text}`seen`, on the others {glue:text}`unseen`. The teacher, in floats, has {glue:text}`the`; in a run so
# short a teacher need not be better than its students. The price of eight bits, the file minus the network in floats, is
# {glue:text}`price`.
#
# The interval of a device is {glue:text}`width_log_loss:.2f` nats and {glue:text}`width_accuracy:.0f` points wide. All
# devices heard the same few places, so their rows move together; but a few points between two of them are not to be read
# from such a table. [The scoreboard](scoreboard.ipynb) has more clips of each.
#
# ## What a log loss is made of
#
# The log loss of a clip is $-\ln p$ of its true scene. A network that gave each scene a tenth would pay
# $\ln 10 = 2.30$ for every clip; one that is sure of a wrong scene pays up to {glue:text}`most:.0f` nats, since $p$ is cut
# at $2^{-52}$. Which scenes and places pay most, and are they those that are answered worst?

# %% tags=["nbval-ignore-output"]
def nats(p, labels):
    """What each clip pays."""
    own = p[np.arange(len(p)), labels]
    return -np.log(own.clip(np.finfo(float).eps))


paid, heard_as = nats(p, truth), np.array(SCENES)[p.argmax(1)]
np.testing.assert_allclose(paid.mean(), scores.at["overall", "log_loss"])
glue("most", float(-np.log(np.finfo(float).eps)))
glue("dearer", float(100 * (paid > np.log(10)).mean()))
mistaken = (heard_as != clips["scene"]).to_numpy()
glue("wrong", float(100 * mistaken.mean()))
glue("wrong_part", float(100 * paid[mistaken].sum() / paid.sum()))

# %% tags=["nbval-ignore-output"]
part = 100 * scores["clips"] * scores["log_loss"] / paid.sum()
scenes = scores.assign(part=part).filter(like="scene ", axis=0)
scenes.index = scenes.index.str.removeprefix("scene ")
right, loss = scenes["accuracy"].sort_values(), scenes["log_loss"]
pairs = [(one, more) for one, more in combinations(right.index, 2)
         if right[one] < right[more] and loss[one] < loss[more]]
glue("contrary", f"{len(pairs)} of {(of := comb(len(right), 2))}")
glue("alike", "Mostly" if len(pairs) <= of / 4 else "Often not")
glue("scene", loss.idxmax())
glue("least_right", right.index[0])
glue("scene_part", float(scenes.at[loss.idxmax(), "part"]))
glue("scene_places", int(scenes["locations"].max()))
assert abs(scenes["part"].sum() - 100) < 1
shown.assign(**{"of all (%)": part.round(1)}).loc[
    "scene " + right.index].set_axis(right.index)

# %% tags=["nbval-ignore-output"]
paying = clips.assign(paid=paid, said=heard_as)
by, dearest = ["scene", "city", "location"], np.argsort(-paid)
places = paying.groupby(by).agg(
    nats=("paid", "mean"), part=("paid", "sum"),
    said=("said", lambda answers: answers.mode()[0]))
places["part"] *= 100 / paid.sum()
places = places.sort_values("part", ascending=False)
tenth = dearest[:max(1, len(clips) // 10)]
assert paid[tenth].mean() >= paid.mean()
named = places.set_axis(["nats a clip", "of all (%)", "mostly said"], axis=1)
named.set_axis(named.index.map(" ".join)).head(4).round(1)

# %% tags=["nbval-ignore-output"]
place, draws = paying.groupby(by).ngroup().to_numpy(), []
for _ in range(200):
    drawn = np.random.default_rng(len(draws)).permutation(len(place))
    draws.append(len(set(place[drawn[:len(tenth)]])))
here = place == place[dearest[0]]
glue("tenth", float(100 * paid[tenth].sum() / paid.sum()))
glue("tenth_places", len(set(place[tenth])))
glue("chance_places", float(np.mean(draws)))
glue("places", len(places))
glue("place_part", float(places["part"].iloc[0]))
glue("here", f"{(here & ~mistaken).sum()} of the {here.sum()}")
glue("master", float(100 * master[dearest[0], truth[dearest[0]]]))
assert max(draws) <= len(places)

# %% [markdown]
# {glue:text}`alike`: in all but {glue:text}`contrary` pairs of scenes the one that is answered worse also pays more.
# *{glue:text}`scene`* is the dearest, with {glue:text}`scene_part:.0f` % of the log loss; *{glue:text}`least_right`* is
# answered worst. Where the order differs, log loss has counted how sure the answers are. And mind the intervals:
# {glue:text}`scene_places` places say next to nothing about a scene, and one place pays {glue:text}`place_part:.0f` % of all.
#
# The dearest tenth of the clips pays {glue:text}`tenth:.0f` %; it comes from {glue:text}`tenth_places` of
# {glue:text}`places` places, where a random tenth comes from {glue:text}`chance_places:.0f`. {glue:text}`wrong:.0f` % of all
# clips are answered wrongly, and pay {glue:text}`wrong_part:.0f` % of the nats. {glue:text}`dearer:.0f` % cost more
# than chance would; to accuracy they are mistakes like the others.
#
# Here is the dearest clip, at the 8 kHz that the network hears, and then the cheapest of the scene it was taken for.
# Above them stands what the program of the embedded corpus mixes into most recordings of each scene: listen for that
# (both are synthetic, unless the folder is yours). Would you have known?

# %% tags=["nbval-ignore-output"]
import soxr

from asclib.challenge.task import SAMPLE_RATE
from asclib.corpus import read_audio
from asclib.corpus.embedded.scenes import SOUNDSCAPES

taken = (clips["scene"] == heard_as[dearest[0]]).to_numpy()
sounds = {}
for row in (dearest[0], *dearest[taken[dearest]][-1:]):
    wave = read_audio(experiment.corpus.root / clips["filename"].iloc[row])
    title = f"{clips['scene'].iloc[row]}, said: {heard_as[row]}"
    sounds[f"{title} ({paid[row]:.2f} nats)"] = soxr.resample(
        wave, SAMPLE_RATE, 8_000)
for scene in sorted({clips["scene"].iloc[dearest[0]], heard_as[dearest[0]]}):
    print(f"{scene}:", ", ".join(part.source.__name__ for part in
          SOUNDSCAPES[scene].parts if part.probability >= 0.5))
players(sounds, 8_000)

# %% [markdown]
# If you heard nothing that its own scene has and the other lacks, you could not have known. Nor need that one second be to
# blame: of its place the network answers {glue:text}`here` clips rightly. The teacher gave the true scene of this clip
# {glue:text}`master:.1f` %.
#
# ## One number that costs nothing
#
# Divide all logits by a **temperature** $T$ before the softmax. The order of the scenes stays, and accuracy
# with it; but answers become softer ($T > 1$) or sharper ($T < 1$), and the log loss moves. The best
# $T$ is found on validation clips {cite}`guo2017calibration`. In the network it takes no parameter and
# no MAC: weights and bias of the last layer are divided by it. How much does it mend, and how much could it, if one
# knew the test?

# %% tags=["nbval-ignore-output"]
def tempered(p, temperature):
    """The answers as if all logits had been divided by the temperature."""
    powers = p ** (1 / temperature)
    return powers / powers.sum(1, keepdims=True)


# the logarithms of answers are their logits, up to a constant
known, heard = experiment.table("validation"), experiment.clips("validation")
guess = {name: one.ask(heard.x) for name, one in systems.items()}
chosen = {name: best_temperature(np.log(guess[name]), heard.labels)
          for name in systems}
ideal = {name: best_temperature(np.log(said[name]), truth) for name in said}
assert min(*chosen.values(), *ideal.values()) > 0.1

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-2022-temperature", "caption": "Live run: log loss on the test clips against the temperature. Dots: as trained; diamonds: chosen on validation clips; crosses: the best on the test, which nobody may choose."}, "image": {"alt": "Two curves, each with a dot at temperature one, a diamond and a cross."}}
def at(name, temperature):
    return nats(tempered(said[name], temperature), truth).mean()


grid = np.geomspace(0.4, 4, 40)
fig, ax = plt.subplots(figsize=(6, 2.6))
for name, colour in zip(systems, (INK, ACCENT), strict=True):
    ax.plot(grid, [at(name, t) for t in grid], color=colour, label=name)
    for t, mark in ((1, "o"), (chosen[name], "D"), (ideal[name], "X")):
        ax.plot(t, at(name, t), mark, color=colour, ms=7)
ax.set(xscale="log", xlabel="temperature", ylabel="nats, less is better")
ax.set_xticks([0.5, 1, 2, 4], [0.5, 1, 2, 4])
ax.minorticks_off()
ax.legend()
assert all(at(name, ideal[name]) <= at(name, 1) + 1e-6 for name in systems)
show(fig)

# %% [markdown]
# Does the file know how sure it can be, before and after? {numref}`fig-2022-reliability` sorts its answers by their
# confidence, the largest probability.

# %% tags=["nbval-ignore-output"] mystnb={"figure": {"name": "fig-2022-reliability", "caption": "Live run, the published lesson: accuracy of the answers against their confidence, before the temperature (dark) and after it (coloured). On the dashed line a system knows how sure it can be; below it, it is too sure. Bins of at least ten clips."}, "image": {"alt": "Two broken lines and a dashed diagonal."}}
fig, ax = plt.subplots(figsize=(6, 2.6))
for key, t, colour in (("plain", 1, INK),
                       ("even", chosen["published"], ACCENT)):
    answers = tempered(p, t)
    bins = calibration(answers, truth, bins=8).table.query("clips >= 10")
    ax.plot(bins["confidence"], bins["accuracy"], "o-", color=colour,
            label=f"T = {t:.2f}")
    glue(f"sure_{key}", float(100 * answers.max(1).mean()))
    glue(f"ece_{key}", float(100 * calibration(answers, truth, bins=8).error))
glue("right", float(100 * (~mistaken).mean()))
ax.axline((0, 0), slope=1, ls="--", color="0.6")
ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
ax.legend()
show(fig)
assert np.array_equal(p.argmax(1), answers.argmax(1))

# %% tags=["nbval-ignore-output"]
own, logits = (tempered(said[name], chosen[name]) for name in systems)
moves = moved({"published: tempered - as trained": (p, own),
               "on logits: tempered - as trained":
                   (said["on logits"], logits),
               "on logits - published, as trained": (p, said["on logits"]),
               "on logits - published, tempered": (own, logits)})
for key, row in zip(("own", "logits", "lessons", "even"), moves.index,
                    strict=True):
    glue(key, moves.at[row, "log loss (nats)"])
glue("points", moves["accuracy (points)"].iloc[-1])
wrong = [name for name in systems if (chosen[name] > 1) != (ideal[name] > 1)]
glue("wrong_way", " and ".join(wrong) or "neither")
assert moves["accuracy (points)"].iloc[2:].nunique() == 1
moves

# %% tags=["nbval-ignore-output"]
for name, key in zip(systems, ("own", "logits"), strict=True):
    glue(f"{key}_chosen", chosen[name])
    glue(f"{key}_ideal", ideal[name])
    glue(f"{key}_trained", float(at(name, 1)))
    glue(f"{key}_gain", float(at(name, 1) - at(name, ideal[name])))
for key, row in (("trained", moves.index[2]), ("each", moves.index[3])):
    glue(f"apart_{key}", float(moves.at[row, "log loss (nats)"].split()[0]))
glue("known_clips", len(known))
glue("known_places", len(known[by].drop_duplicates()))
glue("rarest", int(known["device"].value_counts().min()))
each = {device: best_temperature(
    np.log(guess["published"][rows]), heard.labels[rows])
    for device, rows in known.reset_index().groupby("device").indices.items()}
glue("devices_T", f"{min(each.values()):.2f} to {max(each.values()):.2f}")
assert set(each) == set(known["device"])

# %% [markdown]
# The temperature moves the log loss by {glue:text}`own` nats after the published lesson, and by {glue:text}`logits` after
# the one on logits; less than zero is better. {glue:text}`known_clips` validation clips of {glue:text}`known_places`
# places asked for {glue:text}`own_chosen:.2f` and {glue:text}`logits_chosen:.2f`, where the test would have asked for
# {glue:text}`own_ideal:.2f` and {glue:text}`logits_ideal:.2f`. (Which left 1 the wrong way? Here:
# {glue:text}`wrong_way`.) The test's own would gain {glue:text}`own_gain:.3f` of {glue:text}`own_trained:.2f` nats, and
# {glue:text}`logits_gain:.3f` of {glue:text}`logits_trained:.2f`: all that one number can mend.
#
# The file is sure to {glue:text}`sure_plain:.0f` % on average, right in {glue:text}`right:.0f` %, and after the temperature sure
# to {glue:text}`sure_even:.0f` %. The mean distance from the dashed line, the
# [expected calibration error](scoreboard.ipynb), goes from {glue:text}`ece_plain:.1f` to {glue:text}`ece_even:.1f` points.
#
# As trained, on logits minus published is {glue:text}`lessons` nats; with a temperature each it is {glue:text}`even`, and in
# accuracy {glue:text}`points` points before and after. Lessons that differ in sureness alone would be even.
#
# These intervals are over locations: these trainings, other places. Two other trainings may come out the other way
# round. [The study of slips](slips.ipynb) has five of each lesson, and of labels alone, on a corpus of the same kind.

# %%
asked = {("double softmax", "labels"): "published - labels",
         ("response", "labels"): "on logits - labels",
         ("double softmax", "response"): "published - on logits"}
keys = dict(zip(asked.values(), ("double", "hinton", "both"), strict=True))
rows = pd.DataFrame({
    asked[key]: row["truth"] for row in results("slips")["differences"]
    if (key := (row["system"], row["base"])) in asked}).T
rows["log_loss_seeds"] = rows["log_loss"]
five = pd.DataFrame({
    "nats, over seeds": span(rows, "log_loss_seeds", form="+.3f"),
    "nats, over places": span(rows, "log_loss", form="+.3f")}, rows.index)
for name, key in keys.items():
    glue(f"{key}_seeds", five.at[name, "nats, over seeds"])
five.loc[list(keys)]

# %% [markdown]
# An interval over seeds is for other trainings, one over places for other recordings; a difference should be clear
# of zero in both. On logits minus labels is {glue:text}`hinton_seeds` nats over seeds, worse than labels, and open over
# places. Published minus labels, {glue:text}`double_seeds` over seeds, and published minus on logits,
# {glue:text}`both_seeds`, are open in both. So neither is shown to beat labels, nor the published lesson the other.
#
# Does the temperature matter to such comparisons? In [the comparison](../distillation/comparison.ipynb), all settings were
# chosen for accuracy, and that chose a smoothing of {glue:text}`fair_smoothing` for labels. What is left of a lead in
# log loss over them when each student has its own temperature?

# %%
study, names = results("fair"), {
    "rrs": "RRS", "response_response": "response twice",
    "labels_response": "labels, then response", "response": "response once"}
heads = {"log_loss": "as trained", "tempered_log_loss": "with a T each"}
pairs = pd.DataFrame(next(iter(study["decision"].values()))["pairs"])
pairs = pairs[pairs["base"].eq("labels") & pairs["epochs"].eq(24)]
pairs = pairs[pairs["measure"].isin(heads)]
form = "{difference:+.3f} ({low:+.3f} to {high:+.3f}; {verdict}"
pairs["nats"] = [form.format(**row) for row in pairs.to_dict("records")]
pairs["nats"] += [f", {n} pairs)" for n in pairs["seeds"] * pairs["teachers"]]
wide = pairs.pivot(index="system", columns="measure", values="nats")
wide = wide.reindex(names)[list(heads)]
wide.set_axis(names.values()).set_axis(heads.values(), axis=1).fillna("–")

# %%
for arm in ("rrs", "response_response"):
    for way, measure in zip(("before", "after"), heads, strict=True):
        glue(f"{arm}_{way}", wide.at[arm, measure])
runs_of = pd.DataFrame(study["runs"]).query("epochs == 24")
runs_of = runs_of.dropna(subset="temperature").groupby("arm")
glue("fair_smoothing", runs_of["trial"].first()["labels"]["smoothing"])
for arm in ("labels", "rrs"):
    glue(f"{arm}_T", float(runs_of["temperature"].mean()[arm]))

# %% [markdown]
# Labels so smoothed leave a student less sure than it could be: validation clips give it a temperature of
# {glue:text}`labels_T:.2f`, and an RRS student one of {glue:text}`rrs_T:.2f`. RRS minus labels is {glue:text}`rrs_before`
# nats as trained and {glue:text}`rrs_after` with a temperature each; response twice {glue:text}`response_response_before` and
# {glue:text}`response_response_after`. Where the verdict is *open*, nothing is shown to be left, nor to be gone.
#
# That is about labels so smoothed. In the live run nobody learned from them alone, and a temperature each took the gap from
# {glue:text}`apart_trained:+.3f` to {glue:text}`apart_each:+.3f` nats. It need not narrow one: few validation places may
# ask for the wrong number.
#
# ## The package
#
# What no program can know, a team writes into `about.yaml`. The template names the fields. How teacher and student were
# augmented, the profile of this run does know: {glue:text}`used`.

# %%
import yaml

from asclib.challenge.meta import about_template

about = yaml.safe_load(about_template(rules))
about |= {"team": "Reader_HOME", "name": "TMSIC, taught by responses",
          "abbreviation": "TMSIC"}
about["authors"][0] |= {
    "firstname": "A.", "lastname": "Reader", "email": "reader@example.org",
    "affiliation": {"abbreviation": "HOME", "institute": "At home",
                    "location": "Anywhere"}}
plan = experiment.profile
used = [*plan.member.batch, *plan.fusion.batch, *plan.stage.batch]
used = {type(one).__name__ for one in (*used, plan.views) if one}
used = ", ".join(sorted(used)) or "none"
about["description"]["data_augmentation"] = used
glue("used", used)

# %% [markdown]
# `entry` asks the system about both sets of clips, development and evaluation, fills in costs and scores, and refuses one
# that is beyond the limits. Here one folder stands for both. `Submission` writes the zip, unless it has a fault.

# %% tags=["nbval-ignore-output"]
import tempfile
import zipfile
from pathlib import Path

from asclib.challenge.submission import Submission, entry

folder, root = Path(tempfile.mkdtemp()), experiment.corpus.root
made = entry(2022, {"tmsic": entered}, about, development=root,
             evaluation=root)
expected = [Path(name).name for name in clips["filename"]]
package = Submission(2022, [made], expected).write(folder / "package.zip")
with zipfile.ZipFile(package) as zipped:
    zipped.extractall(folder / "spoilt")
meta, output = sorted(folder.glob("spoilt/task1/*/*.*"))
answers = pd.read_csv(output, sep="\t")
assert len(answers) == len(expected)

# %% tags=["nbval-ignore-output"]
text = meta.read_text()
print(text[text.index("  complexity"):text.index("    class_wise")] + "...")
assert answers["scene_label"].isin(SCENES).all()
answers.iloc[:3, :5].round(3)

# %% [markdown]
# `meta.yaml` in part, and the head of the output: a clip, the scene, the first of ten probabilities. Now we spoil it, as a
# careless program would. One row no longer sums to 1; in another the scene is not the most probable; the last is lost.
# The organisers' validator of 2024, the one that we have read, counts clips and passes the other two. `check` does not:

# %% tags=["nbval-ignore-output"]
import textwrap

from asclib.challenge.check import check

answers.loc[0, list(SCENES)] *= 1.2
likely = answers.loc[1, list(SCENES)].astype(float)
answers.loc[1, "scene_label"] = likely.idxmin()
answers.iloc[:-1].to_csv(output, sep="\t", index=False)
print(len(check(package, 2022, expected)), "faults before")
faults = check(folder / "spoilt", 2022, expected)
assert faults["row"].dropna().tolist() == [2, 3] and len(faults) == 3
for fault in faults.itertuples():
    print(textwrap.fill(f"{fault.problem}: {fault.remedy}", 76))

# %% [markdown]
# The same from a shell, on files and folders of your own, is `python -m asclib package`; see
# [running on TAU](../practice/tau.md).
#
# ## What was published
#
# These figures are of the challenge's evaluation set, on real recordings
# {cite}`martinmorato2022low,schmid2022knowledge`. None of them may be set beside those above. TMSIC's 51.6 % is
# computed: its authors say that 51.9 % a year later was 0.3 points more {cite}`ipleiria2023dcase`.
#
# | system | log loss | accuracy (%) | parameters | MACs |
# |---|---|---|---|---|
# | the first, CP-JKU | 1.091 | 59.6 | 121 K | 28 M |
# | TMSIC, 11th of 48 systems | – | 51.6 | 52 K | 25.4 M |
# | the organisers' baseline | 1.532 | 44.2 | 46.5 K | 29.2 M |
#
# In accuracy TMSIC stands halfway between the baseline and the first, with less than half of the first's parameters. But
# accuracy did not rank. Its log loss, which brought it to place 11 and the team to place four, we did not find.
#
# ## Takeaways
# * In 2022 a system was ranked by how well it knew what it did not know. The tenth of the clips that it
#   answers worst pays {glue:text}`tenth:.0f` % of the log loss, and comes from {glue:text}`tenth_places` of
#   {glue:text}`places` places; a random tenth comes from {glue:text}`chance_places:.0f`.
# * A temperature changes the log loss and not one answer. The best for these test clips would gain
#   {glue:text}`own_gain:.3f` of {glue:text}`own_trained:.2f` nats; the one that validation clips chose moved it by
#   {glue:text}`own`.
# * Over five trainings each, the published lesson minus the one on logits is {glue:text}`both_seeds` nats, and neither
#   is shown to beat labels.
# * RRS minus labels, smoothed as is best for accuracy, is {glue:text}`rrs_before` nats as trained, and
#   {glue:text}`rrs_after` with a temperature each. Compare lessons by log loss after it.
# * `check` refuses a package for faults that the official validator of 2024 does not look for: rows that do
#   not sum to 1, and scenes that are not the most probable.
#
# ## Exercises
# **1.** A system gives every true scene 0.6, another gives 0.99 in nine of ten clips and 0.001 in the tenth.
# Which has the better log loss, and which the better accuracy?
#
# :::{dropdown} Solution
# $-\ln 0.6 = 0.51$, and accuracy 100 % (no other scene can have more than 0.4). The other pays
# $0.9 \cdot 0.01 + 0.1 \cdot 6.9 = 0.70$ and is right in 90 %. It would take a tenth clip at 0.0067 or more
# to pay less than the first.
# :::
#
# **2.** A network names the right scene in 40 % of the clips. It always gives the scene that it names $q$, and each of
# the nine others a ninth of the rest. What does it pay at $q = 0.9$, which $q$ would be best, and what is that worth?
#
# :::{dropdown} Solution
# It pays $-0.4 \ln q - 0.6 \ln \frac{1 - q}{9}$: at 0.9 that is $0.04 + 2.70 = 2.74$, more than chance. The best $q$ is 0.4,
# as often as it is right: $0.37 + 1.62 = 1.99$. A temperature would find it, and no answer would change.
# :::
#
# **3.** Find a temperature for each device instead of one for all. How far apart are they, and why would it have
# been of no use in 2022?
#
# :::{dropdown} Solution
# `best_temperature` of the clips of one device at a time. Here they go from {glue:text}`devices_T`. That says little: the
# rarest device has {glue:text}`rarest` validation clips, and where all are right, or none, the search runs into its
# ends, 0.1 and 10. The device of a clip was not told in 2022, and the unseen devices have no validation clips. In 2025
# the device is told, and each may have a model of its own.
# :::
#
# ## What is next
# A year later the same network came again, with another lesson and other rules:
# [2023](entry_2023.ipynb).
