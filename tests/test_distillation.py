"""Stages are data; the teacher's answers are joined by identifier and never by position."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asclib.augmentation import FreqMixStyle, FrequencyMask, Mixup, TimeRoll
from asclib.distillation import (
    TECHNIQUES,
    Answers,
    Stage,
    distill,
    losses,
    objective,
    stages_of,
)
from asclib.distillation.stages import _connected
from asclib.networks import TMSIC, OneVsAllTeacher, look
from asclib.training import Batch, macro_accuracy, predict, train
from tests.data import FIT, SHORT, VALIDATION, same_weights, student

ANSWERS = Answers(
    FIT.identifiers, torch.randn(64, 4, generator=torch.Generator().manual_seed(3)).numpy()
)


def test_answers_are_joined_by_identifier():
    order = np.random.default_rng(0).permutation(64)
    shuffled = Answers(ANSWERS.identifiers[order], ANSWERS.logits[order])
    torch.testing.assert_close(
        shuffled.joined(FIT.identifiers), torch.from_numpy(ANSWERS.logits), rtol=0, atol=0
    )


def test_a_clip_without_an_answer_is_an_error_that_names_it():
    short = Answers(ANSWERS.identifiers[:-1], ANSWERS.logits[:-1])
    with pytest.raises(ValueError, match="no answer for clip63"):
        distill(student(), short, FIT, VALIDATION, TECHNIQUES["response"], SHORT, seed=0)


def test_more_answers_than_clips_is_an_error():
    twice = Answers(np.repeat(ANSWERS.identifiers, 2), np.repeat(ANSWERS.logits, 2, axis=0))
    with pytest.raises(ValueError, match="128 teacher answers for 64"):
        twice.joined(FIT.identifiers)


def test_the_objective_is_the_weighted_sum_it_says():
    net, rows = student().eval(), torch.tensor([5, 1, 9, 30])
    stage = Stage(losses.response, weight=0.7, hard=0.2, arguments={"temperature": 2.0})
    logits = torch.from_numpy(ANSWERS.logits)
    batch = Batch(FIT.x[rows], FIT.labels[rows], logits[rows], 4)
    loss = objective(stage, logits)(net, batch)
    own = net(FIT.x[rows])
    expected = 0.2 * F.cross_entropy(own, FIT.labels[rows]) + 0.7 * losses.response(
        own, logits[rows], 2.0
    )
    torch.testing.assert_close(loss, expected)


def test_only_the_hard_term_is_plain_training():
    plain, distilled = student(), student()
    train(plain, FIT, VALIDATION, SHORT, seed=0)
    stage = Stage(losses.response, weight=0.0, hard=1.0)
    distill(distilled, ANSWERS, FIT, VALIDATION, (stage,), SHORT, seed=0)
    assert same_weights(plain, distilled)


def test_a_hint_without_labels_trains_bit_for_bit_as_with_their_term_at_weight_zero():
    stage = Stage(losses.hint, weight=0.7, hard=0.0, on="conv2", connect="teacher", monitor="last")
    teacher = answers_of(student(), "conv2").joined(FIT.identifiers, "conv2") + 0.3
    short, whole = (_connected(student(), stage, teacher, FIT.x[:1], 0) for _ in range(2))
    goal = objective(stage, teacher)

    def with_labels(net, batch):
        logits, own = look(net.student, batch.x, "conv2")
        hint = 0.7 * losses.hint(net.ours[0](own), batch.answers)
        return 0.0 * F.cross_entropy(logits, batch.targets) + hint

    plan = replace(SHORT, monitor="last")
    for net, loss in ((short, goal), (whole, with_labels)):
        train(net, FIT, VALIDATION, plan, seed=0, objective=loss, answers=teacher)
    assert same_weights(short, whole)
    assert not torch.equal(short.student.conv2.weight, student().conv2.weight)
    assert torch.equal(short.student.conv3.weight, student().conv3.weight)  # after the hint


def test_two_stages_follow_each_other_over_the_same_student():
    net, halfway = student(), student()
    stages = TECHNIQUES["rrs"]
    history = distill(net, ANSWERS, FIT, VALIDATION, stages, SHORT, seed=0)
    first = distill(halfway, ANSWERS, FIT, VALIDATION, stages[:1], SHORT, seed=0)
    assert history["stage"].tolist() == [0] * 3 + [1] * 3
    assert history[history["stage"] == 0].equals(first)
    assert not same_weights(net, halfway)


def test_a_student_follows_its_teacher_even_where_the_teacher_is_wrong():
    follows = Answers(FIT.identifiers, np.eye(4, dtype=np.float32)[(FIT.labels + 1) % 4] * 8)
    only_soft = (Stage(losses.response, weight=1.0, hard=0.0),)
    plan, net = replace(SHORT, epochs=30, batch_size=8), student()
    wrong = VALIDATION._replace(labels=(VALIDATION.labels + 1) % 4)
    distill(net, follows, FIT, wrong, only_soft, plan, seed=0)
    assert macro_accuracy(predict(net, VALIDATION.x), wrong.labels) > 0.6


def test_rrs_is_relational_then_response_with_the_published_weights():
    relational, response = TECHNIQUES["rrs"]
    assert relational.loss is losses.relational and response.loss is losses.response
    assert (relational.hard, response.hard) == (0.565, 1e-5)
    assert relational.weight == pytest.approx((1 - 0.565) * 20)
    assert response.arguments == {"temperature": 3.0}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_stage_settings_are_plain_json(name):
    for stage in TECHNIQUES[name]:
        assert json.loads(json.dumps(stage.settings()))["loss"] == stage.loss.__name__
    assert ("on" in stage.settings()) == (stage.on != "logits")


def test_a_resumed_distillation_continues_to_the_same_result(tmp_path):
    unbroken, broken = student(), student()
    distill(unbroken, ANSWERS, FIT, VALIDATION, TECHNIQUES["rrs"], SHORT, seed=0)

    class Killed(Exception):
        pass

    calls = []

    def dies(net, inputs, outputs):
        calls.append(net.training)
        if sum(calls) == 7:  # in the middle of the second epoch of four batches
            raise Killed

    broken.register_forward_hook(dies)
    with pytest.raises(Killed):
        distill(broken, ANSWERS, FIT, VALIDATION, TECHNIQUES["rrs"], SHORT, seed=0, folder=tmp_path)
    resumed = student()
    distill(resumed, ANSWERS, FIT, VALIDATION, TECHNIQUES["rrs"], SHORT, seed=0, folder=tmp_path)
    assert same_weights(unbroken, resumed)


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3", "conv4"])
def test_a_map_is_the_networks_own_on_a_common_grid(name):
    net, x = student().eval(), FIT.x[:5]
    for norm in (net.norm1, net.norm2, net.norm3, net.norm4):
        norm.bias.data -= 0.1  # a new BN passes on what was rectified before it
    logits, output = look(net, x, name)
    torch.testing.assert_close(logits, net(x))
    torch.testing.assert_close(output, F.adaptive_avg_pool2d(net.maps(x)[name], (70, 2)))
    before = look(net, x, name.replace("conv", "norm"))[1]
    assert before.min() < 0 <= output.min()
    assert not net.norm1._forward_hooks and not net.norm4._forward_hooks


def test_the_embedding_is_the_networks_own():
    net, x = student().eval(), FIT.x[:5]
    torch.testing.assert_close(look(net, x, "embedding")[1], net.embed(x))


def test_the_teachers_output_is_its_members_side_by_side():
    members = []
    for seed in range(3):
        torch.manual_seed(seed)
        members.append(TMSIC(n_classes=2).eval())
    maps = [look(member, FIT.x[:5], "conv4")[1] for member in members]
    teacher = OneVsAllTeacher(members).eval()
    torch.testing.assert_close(look(teacher, FIT.x[:5], "conv4")[1], torch.cat(maps, dim=1))


def test_an_unknown_or_missing_output_names_those_there_are():
    with pytest.raises(ValueError, match="conv9.*embedding, conv1"):
        look(student(), FIT.x[:2], "conv9")
    stage = Stage(losses.attention, weight=1.0, hard=1.0, on="conv4")
    with pytest.raises(ValueError, match="conv4 was not computed, only logits"):
        distill(student(), ANSWERS, FIT, VALIDATION, (stage,), SHORT, seed=0)


def answers_of(net, output):
    values = look(net.eval(), FIT.x, output)[1].detach().numpy()
    return Answers(FIT.identifiers, ANSWERS.logits, {output: values})


def test_a_hint_draws_the_students_map_to_the_teachers():
    """A student that starts from the teacher's weights, disturbed, and must find its map again."""
    teacher, net = student(), student()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    answers = answers_of(teacher, "conv2")
    stage = Stage(losses.hint, weight=1.0, hard=0.0, on="conv2", connect="teacher", monitor="last")

    plan = replace(SHORT, epochs=20)
    history = distill(net, answers, FIT, VALIDATION, (stage,), plan, seed=0)
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]


def test_the_learnt_maps_are_trained_and_thrown_away():
    net = student()
    names = list(net.state_dict())
    stage = Stage(
        losses.contrastive,
        weight=1.0,
        hard=1.0,
        on="embedding",
        connect="both",
        needs=("labels",),
    )
    answers = answers_of(student(), "embedding")
    start = _connected(net, stage, answers.joined(FIT.identifiers, "embedding"), FIT.x[:1], 0)
    assert start.ours[0].out_features == start.theirs[0].out_features == 128
    distill(net, answers, FIT, VALIDATION, (stage,), SHORT, seed=0)
    assert list(net.state_dict()) == names


def test_an_unknown_technique_names_the_known_ones():
    assert stages_of("rrs") == TECHNIQUES["rrs"]
    with pytest.raises(ValueError, match="no technique 'magic': choose one of response, .*rrs"):
        stages_of("magic")


def test_a_stage_weighted_otherwise_is_the_same_but_for_the_weight_of_its_loss():
    (stage,) = TECHNIQUES["ofd"]
    stronger = stage.weighted(4)
    assert stronger == replace(stage, weight=4 * stage.weight)
    assert (stronger.hard, stronger.on, stronger.needs) == (1.0, "norm4", ("margin",))
    assert stage.weighted(1) == stage and stage.weighted(0).weight == 0


def test_a_stage_alone_goes_on_where_the_one_before_has_ended():
    whole, first = student(), student()
    stages = TECHNIQUES["rrs"]
    distill(whole, ANSWERS, FIT, VALIDATION, stages, SHORT, seed=0)
    distill(first, ANSWERS, FIT, VALIDATION, stages[:1], SHORT, seed=0)
    history = distill(first, ANSWERS, FIT, VALIDATION, stages[1:], SHORT, seed=0, first=1)
    assert same_weights(whole, first) and set(history["stage"]) == {1}


def test_a_share_of_few_epochs_is_one_epoch_at_the_least():
    (stage,) = TECHNIQUES["response"]
    net = student()
    history = distill(net, ANSWERS, FIT, VALIDATION, (replace(stage, epochs=0.1),), SHORT, seed=0)
    assert len(history) == 1


# ---- with batches that a transform has changed ---------------------------------------------------


def halved(batch, generator):
    """A transform of a reader's own."""
    return batch._replace(x=batch.x / 2)


TRANSFORMS = {
    "mixstyle": FreqMixStyle(1.0),
    "mixup": Mixup(),
    "roll": TimeRoll(2),
    "mask": FrequencyMask(),
    "own": halved,
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("on", ["logits", "conv2"])
def test_a_student_is_taught_with_any_transform(name, on):
    if on == "logits":
        stage = TECHNIQUES["response"][0]
    else:
        stage = Stage(losses.hint, weight=1.0, hard=1.0, on=on, connect="teacher")
    answers, weights = answers_of(student(1), "conv2"), []
    for batch in ((), (TRANSFORMS[name],)):
        net, plan = student(), replace(SHORT, epochs=1, batch=batch)
        history = distill(net, answers, FIT, VALIDATION, (stage,), plan, seed=0)
        assert np.isfinite(history["loss"]).all()
        weights.append(net.conv1.weight.detach().clone())
    assert not torch.equal(*weights)


@pytest.mark.parametrize("name", ["decoupled", "contrastive"])
def test_a_loss_that_needs_classes_refuses_soft_labels_with_the_remedy(name):
    (stage,) = TECHNIQUES[name]
    answers = answers_of(student(1), "embedding")
    rolled = replace(SHORT, epochs=1, batch=(TimeRoll(),))
    assert len(distill(student(), answers, FIT, VALIDATION, (stage,), rolled, seed=0)) == 1
    mixed = replace(rolled, batch=(Mixup(),))
    problem = f"{name} needs one class for each clip.*leave it out of Training.batch"
    with pytest.raises(ValueError, match=problem):
        distill(student(), answers, FIT, VALIDATION, (stage,), mixed, seed=0)


def test_a_loss_without_the_teachers_answers_is_refused_with_the_remedy():
    (stage,) = TECHNIQUES["dist"]
    taught = objective(stage, torch.zeros(len(FIT.labels), 10))
    with pytest.raises(ValueError, match="give train its answers"):
        train(student(), FIT, VALIDATION, SHORT, seed=0, objective=taught)
