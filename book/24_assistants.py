# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Somebody in between
#
# ## What you will learn
# * why a wide gap between teacher and student may hurt, and what an assistant is;
# * when an assistant can make no difference at all, and what that leaves as its reasons;
# * what it costs, and why none of it is paid on the device;
# * the chain, teacher to assistant to student, against the direct way, and what one run can say of it.
#
# **Prerequisites**: [the teacher's answers](09_response.ipynb) and
# [the answers' other readings](23_answers.ipynb).
#
# **Data in**: the log-mel features of the corpus, the trained teacher.
#
# **Data out**: an `assistant`, and the student that it taught, `assisted`; beside them `response`, taught
# directly. Each is trained for a third of the profile's epochs.

# %% tags=["parameters"]
profile = "quick"
data_root = None
seed = 0

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from asclib import plotting
from asclib.complexity import LIMITS, complexity
from asclib.distillation import TECHNIQUES, losses
from asclib.evaluation import compare, evaluate
from asclib.experiment import ASSISTANT, Experiment
from asclib.networks import TMSIC, WIDTHS
from asclib.training import predict

plotting.use_style()
experiment = Experiment(profile, data_root, seed)

# %% [markdown]
# ## The gap
#
# A better teacher need not make a better student. {cite:t}`mirzadeh2020improved` trained one student under
# teachers of growing size and saw it gain at first and then lose. Two reasons are offered. A large
# network's answers may follow from features that a small one cannot form, so it is shown a target out of
# reach. And a large network is surer, so that less is said about the wrong scenes. Their remedy is a
# *teacher assistant*: a network of a size in between, which the teacher teaches and which then teaches the
# student. AI4EDGE tried it too, a "second teacher" between their ensemble and TMSIC.
#
# Our teacher is ten networks with a common head; the student is one. How large is the gap, and where does
# the assistant stand? It is one TMSIC with half as many filters again in each layer.

# %%
print("filters of the student  ", WIDTHS)
print("filters of the assistant", ASSISTANT)
teacher = experiment.teacher()
costs = {"student": complexity(TMSIC()),
         "assistant": complexity(TMSIC(widths=ASSISTANT)),
         "teacher": complexity(teacher)}
pd.DataFrame({name: {"parameters": f"{cost.parameters:,}",
                     "MMAC": f"{cost.macs / 1e6:.1f}",
                     "times the student": f"{cost.macs / costs['student'].macs:.1f}",
                     "2024's limits": "kept" if cost.within(LIMITS[2024], bits=8)
                     else "exceeded"}
              for name, cost in costs.items()}).T

# %% [markdown]
# A convolution's MACs go with the filters before it times its own, so width counts twice. Any width would
# make an assistant; {numref}`fig-ladder` shows what each would cost.

# %% mystnb={"figure": {"name": "fig-ladder", "caption": "MACs of one inference of a TMSIC against its filters, as a multiple of the student's; the dots are student and assistant, the lines the teacher and the challenge's limit."}, "image": {"alt": "A rising curve on a logarithmic axis from 25 to beyond 200 million MACs, with dots at 1 and 1.5 and two horizontal lines at 30 and about 255 million."}}
factors = np.arange(0.5, 3.76, 0.25)
macs = [complexity(TMSIC(widths=[round(f * w) for w in WIDTHS])).macs / 1e6
        for f in factors]
figure, ax = plt.subplots(figsize=(6.5, 3))
ax.semilogy(factors, macs, color=plotting.INK)
for name, factor in (("student", 1.0), ("assistant", ASSISTANT[0] / WIDTHS[0])):
    ax.plot(factor, costs[name].macs / 1e6, "o", color=plotting.ACCENT)
    ax.annotate(f"  {name}", (factor, costs[name].macs / 1e6), va="top")
for name, level in (("teacher", costs["teacher"].macs / 1e6),
                    ("limit", LIMITS[2024].macs / 1e6)):
    ax.axhline(level, color=plotting.MUTED, ls=":")
    ax.annotate(name, (3.3, level), va="bottom")
ax.set(xlabel="filters, times the student's", ylabel="MMAC")
plotting.show(figure)

# %% [markdown]
# The assistant may break every limit of the challenge: it is never deployed. What it costs is training,
# once, and its answers, once. They are stored as [the teacher's](09_response.ipynb) are.
#
# ## When an assistant makes no difference
#
# It is tempting to think that two small steps are easier than a large one. Let us test it where everything
# can be computed. One input $x$; two classes; the teacher's probability is a curve. Assistant and student
# are the same kind of model, $q(x) = \sigma\big(\sum_n w_n \varphi_n(x)\big)$, with polynomials $\varphi_n$
# up to degree 9 and up to degree 3. Each learns by the response loss of [its chapter](09_response.ipynb),
# $\mathrm{KL}(p \,\|\, q)$ at $T = 1$, and is trained to the end.

# %%
x = torch.linspace(-1, 1, 200, dtype=torch.float64)
p = (6 * torch.sin(5 * x) + 3 * x).sigmoid()
features = torch.cos(torch.arange(10) * x.clamp(-1, 1).acos()[:, None])


def kl(p, q):
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()


def learn(target, degree, steps=2000):
    """Newton's method, or plain gradient descent for a number of steps."""
    phi, w = features[:, : degree + 1], torch.zeros(degree + 1).double()
    for _ in range(steps):
        q = (phi @ w).sigmoid()
        slope = phi.T @ (q - target) / len(x)
        curve = (phi.T * (q * (1 - q))) @ phi / len(x)
        w = w - (slope if steps < 2000 else torch.linalg.solve(curve, slope))
    return (phi @ w).sigmoid()
