"""Distillation losses as pure functions: student first, teacher second, mean over the batch.

The teacher's tensor is detached by the caller (it comes from stored answers). Every docstring
names the paper, its equation and where our conventions differ from programs in circulation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def response(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """T² · KL(softmax(t/T) ‖ softmax(s/T)) on logits (Hinton et al. 2015, 1503.02531, section 2).

    Args: student, teacher (batch, classes) logits; temperature > 0.
    Returns: scalar, mean over the batch (`nn.KLDivLoss()`'s default divides by the classes too).
    T² keeps the gradient's size independent of T.
    """
    return temperature**2 * _divergence(student / temperature, teacher / temperature)


def response_double_softmax(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """The published slip: probabilities divided by T and softmaxed a second time (AI4EDGE 2022).

    KL(softmax(p_t/T) ‖ softmax(p_s/T)) with p = softmax(logits), without T². At T = 3 even a
    one-hot teacher becomes 0.134 against nine times 0.096. Arguments and return as `response`.
    """
    return _divergence(student.softmax(1) / temperature, teacher.softmax(1) / temperature)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)), mean over the batch; finite for saturated logits."""
    return F.kl_div(
        student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )


def relational_distance(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the pairwise distances of both (RKD-D; Park et al. 2019, eq. 6).

    Args: student (batch, d_s), teacher (batch, d_t): any outputs; d_s and d_t may differ.
    Returns: scalar, mean over ordered pairs i ≠ j; distances are divided by their batch mean.
    `diagonal=True` averages over all B² entries, zeros included, as the reference programs do: the
    value is then (B−1)/B of ours.
    Raises: ValueError when fewer than two rows are given.
    """
    _at_least(2, student, teacher)
    batch = len(student)
    huber = F.smooth_l1_loss(
        _relative_distances(student), _relative_distances(teacher), reduction="sum"
    )
    return huber / (batch**2 if diagonal else batch * (batch - 1))


def relational_angle(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the angles of all triplets of both (RKD-A; Park et al. 2019, eq. 9).

    Args: student (batch, d_s), teacher (batch, d_t). Costs batch³ numbers: keep the batch at 64.
    Returns: scalar, mean over ordered triplets of distinct rows; `diagonal=True` averages over all
    B³ entries, as the reference programs do: the value is then (B−1)(B−2)/B² of ours.
    Raises: ValueError when fewer than three rows are given.
    """
    _at_least(3, student, teacher)
    batch = len(student)
    huber = F.smooth_l1_loss(_angles(student), _angles(teacher), reduction="sum")
    return huber / (batch**3 if diagonal else batch * (batch - 1) * (batch - 2))


def relational(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Distance plus angle, equally weighted, as AI4EDGE sum them (they multiply the sum by 20)."""
    return relational_distance(student, teacher, diagonal=diagonal) + relational_angle(
        student, teacher, diagonal=diagonal
    )


def unit_probabilities(logits: Tensor) -> Tensor:
    """Softmax outputs scaled to unit length: what the published relational loss looks at."""
    return F.normalize(logits.softmax(1), dim=1)


def relational_on_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """The published form: relational loss of L2-normalised softmax outputs, all entries."""
    return relational(unit_probabilities(student), unit_probabilities(teacher), diagonal=True)


def relational_and_response(
    student: Tensor, teacher: Tensor, temperature: float = 3.0, scale: float = 20.0
) -> Tensor:
    """scale · (distance + angle) + response: both at once, as AI4EDGE's joint variant sums them."""
    return scale * relational(student, teacher) + response(student, teacher, temperature)


def _at_least(rows: int, student: Tensor, teacher: Tensor) -> None:
    if len(student) != len(teacher) or len(student) < rows:
        raise ValueError(
            f"{len(student)} student rows and {len(teacher)} teacher rows: this loss compares "
            f"the same clips, {rows} at the least"
        )


def _relative_distances(x: Tensor) -> Tensor:
    """Pairwise Euclidean distances over their mean, (batch, batch), zero on the diagonal."""
    x = x - x.mean(0)  # |a|²+|b|²-2ab loses all digits when the offset dwarfs the spread
    squares = x.pow(2).sum(1)
    squared = (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp(min=1e-12)
    apart = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    distances = torch.where(apart, squared, 1.0).sqrt() * apart
    return distances / (distances.sum() / apart.sum()).clamp(min=1e-6)


def _angles(x: Tensor) -> Tensor:
    """Cosine at j of the triplet (i, j, k): entry [j, i, k]; zero where rows coincide (eq. 8)."""
    edges = F.normalize(x[None, :, :] - x[:, None, :], dim=2)  # [j, i]: from j to i
    cosines = edges @ edges.transpose(1, 2)
    distinct = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return cosines * distinct[None, :, :]  # i ≠ k; where i or k is j the edge is zero already


# ---- logits, beyond Hinton -------------------------------------------------------------------


def decoupled(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """T² · (α · KL of target against the rest + β · KL among the rest) (Zhao et al. 2022, eq. 7).

    The two parts of the response loss, set free: `response` is α = 1 with β replaced, clip by clip,
    by the teacher's probability of a wrong class.

    Args: student, teacher (batch, classes) logits; labels (batch,) the true classes.
    Returns: scalar, mean over the batch. From logarithms throughout, so it stays finite for
    saturated logits. With two classes the second part is zero.
    """
    student_pair, student_rest = _decouple(student / temperature, labels)
    teacher_pair, teacher_rest = _decouple(teacher / temperature, labels)
    target = _divergence(student_pair, teacher_pair)
    rest = _divergence(student_rest, teacher_rest)
    return temperature**2 * (alpha * target + beta * rest)


def _decouple(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (batch, 2) of [target, any other class], and (batch, classes - 1) of the others."""
    column = torch.arange(logits.shape[1] - 1, device=logits.device)
    target = labels[:, None]
    rest = logits.gather(1, column + (column >= target))  # a mask would make a GPU be waited for
    return torch.cat([logits.gather(1, target), rest.logsumexp(1, keepdim=True)], dim=1), rest


def dist(
    student: Tensor,
    teacher: Tensor,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
) -> Tensor:
    """T² · (β · inter + γ · intra), each 1 − Pearson correlation (Huang et al. 2022, 2205.10536).

    Inter-class: the correlation of both answers to one clip, over the classes. Intra-class: of both
    answers for one class, over the clips of the batch.

    Args: student, teacher (batch, classes) logits.
    Returns: scalar; the means over clips and over classes. T² is in the authors' program, not in
    their paper. Where an answer does not vary, its correlation counts as zero.
    """
    s, t = ((x / temperature).softmax(1) for x in (student, teacher))
    inter, intra = 1 - _pearson(s, t).mean(), 1 - _pearson(s.T, t.T).mean()
    return temperature**2 * (beta * inter + gamma * intra)


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """The correlation of each row of `a` with the same row of `b`: (rows,)."""
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    return F.cosine_similarity(a, b, dim=1)


# ---- feature maps ----------------------------------------------------------------------------


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps (FitNets; Romero et al. 2015, eq. 3).

    Args: student, teacher (batch, channels, mels, frames), of one shape: where the networks differ,
    a learnt 1x1 convolution stands between student and loss, and is not part of either.
    Returns: scalar, mean over all values; the paper halves the sum of a clip instead.
    Raises: ValueError when the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student map {tuple(student.shape)} and teacher map {tuple(teacher.shape)}: bring the "
            "student's channels to the teacher's with a 1x1 convolution, its size by pooling"
        )
    return F.mse_loss(student, teacher)


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of two maps of attention (Zagoruyko & Komodakis 2017, activation-based).

    Attention is the mean over channels of the squared map, as a vector of unit length. A map larger
    than the teacher's is pooled to the teacher's size first.

    Args: student (batch, c_s, mels, frames), teacher (batch, c_t, ...); channels may differ.
    Returns: scalar, mean squared difference, as the authors' program; the paper takes the length of
    the difference (eq. 2) and sums over layers.
    """
    _at_least(1, student, teacher)
    student = F.adaptive_avg_pool2d(student, teacher.shape[-2:])
    return F.mse_loss(_attention(student), _attention(teacher))


def _attention(x: Tensor) -> Tensor:
    return F.normalize(x.pow(2).mean(1).flatten(1), dim=1)


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of the similarities between the clips of a batch (Tung & Mori 2019, eq. 1 to 4).

    Args: student (batch, ...), teacher (batch, ...): any outputs, flattened; sizes may differ.
    Returns: scalar, ‖G_s − G_t‖² / batch², where G holds the inner products of clips and each of
    its rows has unit length.
    """
    _at_least(1, student, teacher)
    return F.mse_loss(_similarities(student), _similarities(teacher))


def _similarities(x: Tensor) -> Tensor:
    x = x.flatten(1)
    return F.normalize(x @ x.T, dim=1)


def margin(student: Tensor, teacher: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Partial L2 distance to the margin-rectified teacher (OFD; Heo et al. 2019, 1904.01866).

    The target is max(teacher, margin): a negative value says no more than "be negative". Where the
    student is below a target that is not positive, it has done so already, and nothing is asked.

    Args:
        student, teacher: (batch, channels, mels, frames) maps *before* their last ReLU, one shape.
        margin: a number, or (channels, 1, 1), at most zero: `negative_mean` of each channel.
    Returns: scalar, sum over the values of a clip, mean over the batch (the authors' program
    divides by a further 1,000).
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student map {tuple(student.shape)} and teacher map {tuple(teacher.shape)} differ: "
            "bring the student's channels to the teacher's with a 1x1 convolution"
        )
    with torch.no_grad():
        target = torch.maximum(teacher, torch.as_tensor(margin).to(teacher))
        # Where nothing is asked, the student is its own target: the lower of the two. Beside a
        # positive target it is set far above. `torch.where` says the same, slower; and the maps
        # have ten times the student's channels, so they are not written to new memory each time.
        far_above = target.relu()
        torch.add(student, far_above, alpha=torch.finfo(target.dtype).max, out=far_above)
        torch.minimum(target, far_above, out=target)
    return F.mse_loss(student, target, reduction="sum") / len(student)


def negative_mean(maps: Tensor) -> Tensor:
    """What a channel answers on average when it answers below zero: the margin of `margin`.

    Args: maps (clips, channels, mels, frames) of the teacher before the last ReLU.
    Returns: (channels, 1, 1), zero where a channel is never negative. Heo et al. 2019 define the
    margin so, over the training clips, and then estimate it from BN; with the maps stored we count.
    """
    total = count = 0
    for part in maps.split(1_024):  # stored maps may be larger than memory
        total = total + part.float().clamp(max=0).sum((0, 2, 3))
        count = count + (part < 0).sum((0, 2, 3))
    return (total / count.clamp(min=1)).view(-1, 1, 1)


def contrastive(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    clips: int,
    temperature: float = 0.1,
) -> Tensor:
    """Tell the teacher's view of the same clip from its views of others (CRD; Tian et al. 2020).

    With N other clips for each one and M = `clips` to draw from, the critic says
    h(t, s) = e^{s·t/T} / (e^{s·t/T} + N/M), and the loss is
    −log h of the true pair − the sum over the others of log(1 − h).

    Args:
        student, teacher: (batch, d) embeddings of the same clips and size, e.g. after a learnt
            projection each; scaled to unit length here.
        labels: (batch,) scenes; clips of one scene are not set against each other.
        clips: of the training set.
    Returns: scalar, mean over the batch. The others are those of the batch; the reference programs
    keep a memory of all clips and draw 16,384, add the loss with the roles exchanged, and estimate
    a normalising constant from the first batch.
    """
    _at_least(2, student, teacher)
    cosines = F.normalize(student, dim=1) @ F.normalize(teacher, dim=1).T
    other = labels[:, None] != labels[None, :]
    count = other.sum(1, keepdim=True).clamp(min=1)
    odds = cosines / temperature - (count.to(cosines) / clips).log()  # logit of h
    same = F.logsigmoid(odds.diagonal())
    return -(same + (F.logsigmoid(-odds) * other).sum(1)).mean()
