"""How fast networks train on this machine: a plain PyTorch loop and ours, side by side.

    python benchmarks/training.py                 a quarter of an hour; writes results/training.json
    python benchmarks/training.py --quick         some two minutes; writes nothing

Run it on an idle machine. Every timing is taken in fresh processes, plain and ours in turn, so
that neither profits from what the other left behind, and drift of the machine meets both.

The plain loop: DataLoader, batch 64, torch's default memory layout, torch's own convolutions, all
threads, and, when distilling, the teacher asked anew for every batch. Ours: `asclib.training`, one
thread a run, and as many runs side by side as there are cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset

from asclib import training
from asclib.complexity import complexity
from asclib.distillation import TECHNIQUES, objective
from asclib.networks import TMSIC, OneVsAllTeacher
from asclib.runs import PROFILES, Experiment
from asclib.store import PROJECT, write_atomic
from asclib.training import Clips, Training

BATCH = 64
CASES = {"student": 10, "member": 2, "response": 10, "relational": 10}  # name -> classes
TAU_CLIPS = 139_620  # the training split of the full data set
LAYERS = ("conv1", "conv2", "conv3", "conv4")


# ---- the two loops ---------------------------------------------------------------------------


def plain_network(classes: int) -> nn.Module:
    """TMSIC with torch's own convolutions."""
    net = TMSIC(classes)
    for name in LAYERS:
        old = getattr(net, name)
        sizes = old.in_channels, old.out_channels, old.kernel_size
        setattr(net, name, nn.Conv2d(*sizes, padding="same"))
        getattr(net, name).load_state_dict(old.state_dict())
    return net


def plain_loop(net, x, y, epochs: int, teacher=None, stage=None, plan: Training | None = None):
    """What one writes first. `plan` adds its schedule and BN momentum, for equal accuracy."""
    rate = plan.learning_rate if plan else 1e-3
    batch = plan.batch_size if plan else BATCH
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True, drop_last=True)
    schedule = None
    if plan:
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d) and plan.statistics_momentum is not None:
                layer.momentum = plan.statistics_momentum
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=epochs * len(loader) + 1, cycle_momentum=False
        )
    net.train()
    for _ in range(epochs):
        for clips, labels in loader:
            optimizer.zero_grad()
            logits = net(clips)
            loss = F.cross_entropy(logits, labels)
            if teacher is not None:
                with torch.no_grad():
                    answer = teacher(clips)
                loss = stage.hard * loss
                loss = loss + stage.weight * stage.loss(logits, answer, **stage.arguments)
            loss.backward()
            optimizer.step()
            if schedule:
                schedule.step()


def plain(case: str, x: Tensor, y: Tensor) -> Callable[[int], None]:
    """A function that trains for so many epochs by the plain loop."""
    net, teacher, stage = plain_network(CASES[case]), None, None
    if case in TECHNIQUES:
        (stage,) = TECHNIQUES[case]
        teacher = OneVsAllTeacher([plain_network(2) for _ in range(10)]).eval()
    return lambda epochs: plain_loop(net, x, y, epochs, teacher, stage)


def ours(case: str, x: Tensor, y: Tensor) -> Callable[[int], None]:
    """A function that trains for so many epochs by the library."""
    net, goal, answers = TMSIC(CASES[case]), None, None
    if case in TECHNIQUES:
        (stage,) = TECHNIQUES[case]
        teacher = OneVsAllTeacher([TMSIC(2) for _ in range(10)])
        answers = training.predict(teacher, x)
        goal = objective(stage, answers)
    fit = Clips(x, y, np.arange(len(x)))
    few = fit.take(np.arange(2))

    def work(epochs: int) -> None:
        plan = Training(epochs=epochs, schedule="constant")
        training.train(net, fit, few, plan, seed=0, objective=goal, answers=answers)

    return work


LOOPS = {"plain": plain, "ours": ours}


# ---- timing ----------------------------------------------------------------------------------


def run(loop: str, case: str, clips: int, epochs: int, start, answers) -> None:
    """One process: warm up, wait for the others, train, and answer with begin and end."""
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clips, 1, 140, 8, generator=generator)
    y = torch.randint(0, CASES[case], (clips,), generator=generator)
    train = LOOPS[loop](case, x, y)
    train(1)
    start.wait()
    begin = time.perf_counter()
    train(epochs)
    answers.put((begin, time.perf_counter()))


def speed(loop: str, case: str, runs: int, clips: int, epochs: int) -> float:
    """Clips per second of `runs` trainings side by side."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(runs), context.Queue()
    arguments = (loop, case, clips, epochs, start, answers)
    processes = [context.Process(target=run, args=arguments) for _ in range(runs)]
    for process in processes:
        process.start()
    times = np.array([answers.get(timeout=600) for _ in processes])
    for process in processes:
        process.join()
    return runs * clips * epochs / (times[:, 1].max() - times[:, 0].min())


def matrix_multiply_peak(threads: int, size: int = 2048, seconds: float = 3.0) -> float:
    """GFLOP/s of a float32 matrix product on that many threads: the machine's practical limit."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    torch.set_num_threads(before)
    return 2 * size**3 / best / 1e9


def bandwidth(size: int = 1 << 26, seconds: float = 3.0) -> float:
    """GB/s one thread reads and writes when it copies 256 MB: the other practical limit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    source, target = torch.randn(size), torch.zeros(size)
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - begin)
    torch.set_num_threads(before)
    return 2 * 4 * size / best / 1e9


def operations_per_clip(classes: int) -> float:
    """Floating-point operations of one training step, by the usual count.

    Two for each MAC forward, and twice that backward (towards the input and towards the weights);
    the first layer needs no gradient towards its input.
    """
    counted = complexity(TMSIC(classes))
    first = counted.layers.set_index("name").loc["conv1", "macs"]
    return 6 * counted.macs - 2 * first


def timings(repeats: int, clips: int, epochs: int) -> dict:
    """Clips per second of every case: plain, ours alone, ours side by side, in turn."""
    cores = training.cores() if training.device().type == "cpu" else 1
    table = {}
    for case, classes in CASES.items():
        rows = {"plain": [], "ours_alone": [], "ours": []}
        for _ in range(repeats):
            # the teacher makes the plain loop slow: fewer clips tell as much
            fewer = clips // 4 if case in TECHNIQUES else clips
            rows["plain"].append(speed("plain", case, 1, fewer, epochs))
            rows["ours_alone"].append(speed("ours", case, 1, clips, epochs))
            rows["ours"].append(speed("ours", case, cores, clips, epochs))
        entry = {name: round(float(np.median(values)), 1) for name, values in rows.items()}
        ratios = np.array(rows["ours"]) / np.array(rows["plain"])
        summary = np.median(ratios), ratios.min(), ratios.max()
        entry["ratio"] = [round(float(ratio), 3) for ratio in summary]
        entry["gflops"] = round(entry["ours"] * operations_per_clip(classes) / 1e9, 1)
        table[case] = entry
        print(f"{case:10s} " + "  ".join(f"{k} {v}" for k, v in entry.items()), flush=True)
    return table


# ---- where the time goes ---------------------------------------------------------------------


def profiled(loop: str, steps: int = 20) -> dict[str, dict[str, float] | float]:
    """One step of the student on one thread: `page_faults`, and `milliseconds` by kind of work."""
    torch.set_num_threads(1)
    net = TMSIC() if loop == "ours" else plain_network(10)
    if loop == "ours":
        training.keep_memory()
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=loop == "ours")
    x, y = torch.randn(BATCH, 1, 140, 8), torch.randint(0, 10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net.train()(x), y).backward()
        optimizer.step()

    for _ in range(20):  # until the memory that is kept suffices
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        step()
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        for _ in range(steps):
            step()
    shares: dict[str, float] = {}
    for event in recorded.key_averages(group_by_input_shape=True):
        part = _part(event.key, event.input_shapes)
        milliseconds = event.self_cpu_time_total / 1e3 / steps
        shares[part] = shares.get(part, 0.0) + milliseconds
    milliseconds = {part: round(value, 2) for part, value in sorted(shares.items())}
    return {"page_faults": round(faults), "milliseconds": milliseconds}


def _part(operation: str, shapes: list) -> str:
    """The layer of a convolution, known by the size of its input, or the kind of operation."""
    if operation.endswith(("mkldnn_convolution", "convolution_backward")):
        backward = operation.endswith("backward")
        clip = shapes[1 if backward else 0][1:]
        sizes = {1 * 140 * 8: 1, 20 * 140 * 8: 2, 28 * 140 * 4: 3, 28 * 70 * 2: 4}
        return f"conv{sizes[int(np.prod(clip))]} {'backward' if backward else 'forward'}"
    kinds = {
        "batch_norm": "normalisation",
        "threshold": "ReLU",
        "clamp_min": "ReLU",
        "max_pool": "pooling",
        "fill_": "pooling",
        "bernoulli": "dropout",
        "div_": "dropout",
        "Adam": "optimiser",
        "adam": "optimiser",
    }
    return next((kind for word, kind in kinds.items() if word in operation), "rest")


# ---- the same accuracy -----------------------------------------------------------------------


def accuracy(loop: str, seed: int, name: str = "quick") -> float:
    """Test macro accuracy of the student after the profile's training, last epoch kept."""
    torch.set_num_threads(1)
    experiment = Experiment(name, seed=seed)
    fit, test = experiment.clips("fit"), experiment.clips("test")
    plan = PROFILES[name].student
    torch.manual_seed(seed)
    if loop == "ours":
        net = TMSIC()
        last = replace(plan, monitor="last")
        training.train(net, fit, experiment.clips("validation"), last, seed=seed)
    else:
        net = plain_network(10)
        plain_loop(net, fit.x, fit.labels, plan.epochs, plan=plan)
    return training.macro_accuracy(training.predict(net, test.x), test.labels)


def accuracies(seeds: int) -> dict[str, dict]:
    """Mean accuracy of both loops over seeds, with its 95 % t interval."""
    table = {}
    Experiment("quick").clips("fit")  # built before several processes ask for it
    jobs = [(loop, seed) for loop in LOOPS for seed in range(seeds)]
    with multiprocessing.get_context("spawn").Pool(training.cores(), maxtasksperchild=1) as pool:
        found = dict(zip(jobs, pool.starmap(accuracy, jobs, chunksize=1), strict=True))
    for loop in LOOPS:
        values = [100 * found[loop, seed] for seed in range(seeds)]
        half = stats.t.ppf(0.975, seeds - 1) * np.std(values, ddof=1) / seeds**0.5
        mean = float(np.mean(values))
        table[loop] = {
            "per_seed": [round(value, 2) for value in values],
            "mean": round(mean, 2),
            "low": round(mean - half, 2),
            "high": round(mean + half, 2),
        }
        print(f"accuracy, {loop}: {table[loop]}", flush=True)
    return table


def main() -> None:
    """Read the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer clips, nothing is written")
    parser.add_argument("--output", type=Path, default=PROJECT / "results" / "training.json")
    options = parser.parse_args()
    os.environ["ASCLIB_PROGRESS"] = os.devnull
    repeats, clips, epochs = (1, 640, 1) if options.quick else (3, 1280, 1)
    cores = training.cores()
    peak = {"one_core": matrix_multiply_peak(1), "all_cores": matrix_multiply_peak(cores)}
    results = {
        "processor": processor(),
        "cores": cores,
        "device": str(training.device()),
        "versions": {"torch": version("torch").partition("+")[0]},
        "batch": BATCH,
        "clips": clips,
        "epochs": epochs,
        "repeats": repeats,
        "peak_gflops": {name: round(value, 1) for name, value in peak.items()},
        "bandwidth_gb": round(bandwidth(), 1),
    }
    print(results, flush=True)
    results["speed"] = timings(repeats, clips, epochs)
    for entry in results["speed"].values():
        entry["share_of_peak"] = round(entry["gflops"] / peak["all_cores"], 3)
    plain_epoch = results["speed"]["student"]["ours"]
    for case in TECHNIQUES.keys() & CASES.keys():
        entry = results["speed"][case]
        entry["epochs"] = round(plain_epoch / entry["ours"], 3)
        print(f"a {case} epoch costs {entry['epochs']} plain ones")
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:  # keep_memory stays in its process
        results["profile"] = {loop: pool.apply(profiled, (loop,)) for loop in LOOPS}
    for loop, parts in results["profile"].items():
        print(loop, parts)
    if training.device().type == "cuda":
        results["tau_epoch_seconds"] = round(TAU_CLIPS / plain_epoch, 2)
    if not options.quick:
        results["accuracy"] = accuracies(seeds=3)
        write_atomic(options.output, (json.dumps(results, indent=1) + "\n").encode())
        print(options.output.name)


def processor() -> str:
    """The name of the processor, or of the GPU where the trainings run."""
    if training.device().type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
