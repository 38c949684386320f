"""The linear-chain CRF against enumeration of all labellings."""

import itertools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from hiermtl.structures import crf
from hiermtl.structures.constraints import bio_transitions

NEGATIVE_INFINITY = float("-inf")


class Problem(NamedTuple):
    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor

    def edges(self) -> dict[str, Tensor]:
        return {"start": self.start, "end": self.end, "lengths": self.lengths}

    def partition(self) -> Tensor:
        return crf.log_partition(self.emissions, self.transitions, **self.edges())

    def score(self, labels: Tensor) -> Tensor:
        return crf.sequence_score(
            self.emissions, labels, transitions=self.transitions, **self.edges()
        )


def draw(
    batch: int = 6,
    words: int = 5,
    labels: int = 3,
    *,
    scale: float = 1.0,
    forbidden: float = 0.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Problem:
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return scale * torch.randn(*shape, generator=source, dtype=dtype)

    transitions = normal(labels, labels)
    transitions[torch.rand(labels, labels, generator=source) < forbidden] = NEGATIVE_INFINITY
    return Problem(
        normal(batch, words, labels),
        transitions,
        normal(labels),
        normal(labels),
        torch.arange(batch) % (words + 1),
    )


def enumerate_scores(problem: Problem, sentence: int) -> dict[tuple[int, ...], Tensor]:
    length = int(problem.lengths[sentence])
    scores = {}
    for labels in itertools.product(range(len(problem.start)), repeat=length):
        total = problem.emissions.new_zeros(())
        for at, label in enumerate(labels):
            total = total + problem.emissions[sentence, at, label]
            if at:
                total = total + problem.transitions[labels[at - 1], label]
        if labels:
            total = total + problem.start[labels[0]] + problem.end[labels[-1]]
        scores[labels] = total
    return scores


def enumerated_partition(problem: Problem) -> Tensor:
    return torch.stack(
        [
            torch.logsumexp(torch.stack(list(enumerate_scores(problem, sentence).values())), 0)
            for sentence in range(len(problem.lengths))
        ]
    )


KINDS = pytest.mark.parametrize(
    ("scale", "forbidden"),
    [(1.0, 0.0), (30.0, 0.0), (400.0, 0.0), (1.0, 0.3), (400.0, 0.3)],
    ids=["narrow", "wide", "wider", "forbidden", "wide and forbidden"],
)
SEEDS = pytest.mark.parametrize("seed", range(5))


@KINDS
@SEEDS
def test_partition_is_the_sum_over_all_labellings(scale, forbidden, seed):
    problem = draw(labels=4, scale=scale, forbidden=forbidden, seed=seed)
    torch.testing.assert_close(
        problem.partition(), enumerated_partition(problem), rtol=1e-11, atol=1e-10
    )


@KINDS
@SEEDS
def test_both_recursions_run_and_agree(scale, forbidden, seed):
    problem = draw(scale=scale, forbidden=forbidden, seed=seed)
    chain = crf._prepare(problem.emissions, problem.transitions, **problem.edges())
    if not crf._is_narrow(chain):
        assert scale > 1 or not torch.isfinite(problem.transitions).all()
        return
    direct, saved = crf._scaled_forward(chain)
    careful, saved_careful = crf._log_forward(chain)
    torch.testing.assert_close(direct, careful)
    weights = torch.randn(len(direct), dtype=torch.float64)
    ours = crf._scaled_expectations(chain, saved, weights=weights)
    theirs = crf._log_expectations(chain, saved_careful, weights=weights)
    torch.testing.assert_close(ours, theirs)


@KINDS
@SEEDS
def test_derivative_is_that_of_the_enumeration(scale, forbidden, seed):
    problem = draw(scale=scale, forbidden=forbidden, seed=seed)
    weights = torch.linspace(-1, 2, len(problem.lengths), dtype=torch.float64)
    found = []
    for function in (crf_partition, enumerated_partition):
        leaves = [tensor.clone().requires_grad_() for tensor in problem[:4]]
        value = function(Problem(*leaves, problem.lengths))
        value.masked_fill(value == NEGATIVE_INFINITY, 0.0).mul(weights).sum().backward()
        found.append([torch.nan_to_num(leaf.grad) for leaf in leaves])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def crf_partition(problem: Problem) -> Tensor:
    return problem.partition()


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_derivative_agrees_with_finite_differences(scale):
    problem = draw(batch=4, scale=1.0)
    leaves = [tensor.clone().requires_grad_() for tensor in problem[:4]]
    leaves[0] = (leaves[0].detach() * scale).requires_grad_()

    def likelihood(*tensors: Tensor) -> Tensor:
        here = Problem(*tensors, problem.lengths)
        return here.partition() - here.score(torch.ones(4, 5, dtype=torch.long))

    assert torch.autograd.gradcheck(likelihood, leaves)


def test_second_derivatives_are_refused():
    leaf = draw().emissions.requires_grad_()
    problem = draw()._replace(emissions=leaf)
    with pytest.raises(RuntimeError, match="differentiable once"):
        torch.autograd.grad(problem.partition().sum(), leaf, create_graph=True)


@KINDS
@SEEDS
def test_viterbi_finds_the_best_labelling(scale, forbidden, seed):
    problem = draw(labels=4, scale=scale, forbidden=forbidden, seed=seed)
    labels = crf.viterbi(problem.emissions, problem.transitions, **problem.edges())
    for sentence, length in enumerate(problem.lengths.tolist()):
        scores = enumerate_scores(problem, sentence)
        best = max(scores, key=lambda key: float(scores[key]))
        if scores[best] > NEGATIVE_INFINITY:
            assert tuple(labels[sentence, :length].tolist()) == best
        assert not labels[sentence, length:].any()


@KINDS
@SEEDS
def test_marginals_are_posterior_sums(scale, forbidden, seed):
    problem = draw(scale=scale, forbidden=forbidden, seed=seed)
    found = crf.marginals(problem.emissions, problem.transitions, **problem.edges())
    expected = torch.zeros_like(problem.emissions)
    partition = enumerated_partition(problem)
    for sentence in range(len(problem.lengths)):
        if partition[sentence] == NEGATIVE_INFINITY:
            continue
        for labels, score in enumerate_scores(problem, sentence).items():
            for at, label in enumerate(labels):
                expected[sentence, at, label] += torch.exp(score - partition[sentence])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@KINDS
def test_partition_is_never_below_any_score(scale, forbidden):
    problem = draw(batch=60, words=12, labels=5, scale=scale, forbidden=forbidden)
    labels = torch.randint(0, 5, (60, 12))
    assert (problem.partition() >= problem.score(labels) - 1e-6).all()


def outcomes(problem: Problem, labels: Tensor) -> list[Tensor]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in problem[:4]]
    here = Problem(*leaves, problem.lengths)
    partition, score = here.partition(), here.score(labels)
    (partition - score).sum().backward()
    words = int(problem.lengths.max())
    marginals = crf.marginals(problem.emissions, problem.transitions, **problem.edges())
    best = crf.viterbi(problem.emissions, problem.transitions, **problem.edges())
    grads = [leaf.grad for leaf in leaves]
    return [
        partition.detach(),
        score.detach(),
        marginals[:, :words],
        best[:, :words],
        grads[0][:, :words],
        *grads[1:],
    ]


@KINDS
@pytest.mark.parametrize("filling", [0.0, 1e30, NEGATIVE_INFINITY, float("nan")])
def test_padding_changes_nothing(scale, forbidden, filling):
    problem = draw(scale=scale, forbidden=forbidden)
    labels = torch.randint(0, 3, (6, 5))
    wide = problem.emissions.new_full((6, 9, 3), filling)
    wide_labels = torch.full((6, 9), -100)
    for sentence, length in enumerate(problem.lengths.tolist()):
        wide[sentence, :length] = problem.emissions[sentence, :length]
        wide_labels[sentence, :length] = labels[sentence, :length]
    narrow_outcomes = outcomes(problem, labels)
    for ours, theirs in zip(
        outcomes(problem._replace(emissions=wide), wide_labels), narrow_outcomes, strict=True
    ):
        torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_gradients_in_the_padding_are_zero():
    leaf = draw().emissions.requires_grad_()
    problem = draw()._replace(emissions=leaf)
    (problem.partition() - problem.score(torch.zeros(6, 5, dtype=torch.long))).sum().backward()
    padding = torch.arange(5) >= problem.lengths[:, None]
    assert not leaf.grad[padding].any()


def test_ignoring_the_lengths_would_be_noticed():
    problem = draw()
    unmasked = problem._replace(lengths=torch.full((6,), 5))
    short = problem.lengths < 5
    expected = enumerated_partition(problem)
    assert not torch.isclose(unmasked.partition(), expected)[short].any()


def test_forgetting_the_end_scores_would_be_noticed():
    problem = draw()
    wrong = problem._replace(end=torch.zeros_like(problem.end))
    longer = problem.lengths > 0
    assert not torch.isclose(wrong.partition(), enumerated_partition(problem))[longer].any()


def test_sentences_do_not_depend_on_their_neighbours():
    problem = draw(batch=12, words=7)
    order = torch.randperm(12)
    shuffled = problem._replace(emissions=problem.emissions[order], lengths=problem.lengths[order])
    torch.testing.assert_close(shuffled.partition(), problem.partition()[order])


def test_single_precision_survives_scores_that_would_underflow():
    problem = draw(batch=8, words=60, labels=4, scale=100.0, dtype=torch.float32)
    double = Problem(*(tensor.double() for tensor in problem[:4]), problem.lengths)
    torch.testing.assert_close(problem.partition().double(), double.partition(), rtol=1e-5, atol=0)
    assert problem.partition().dtype == torch.float32


def test_labels_rescued_by_the_end_are_not_lost_to_underflow():
    problem = Problem(
        emissions=torch.tensor([[[60.0, 0.0]] * 3]),
        transitions=torch.tensor([[0.0, -60.0], [0.0, -60.0]]),
        start=torch.zeros(2),
        end=torch.tensor([0.0, 150.0]),
        lengths=torch.tensor([3]),
    )
    torch.testing.assert_close(problem.partition(), torch.tensor([210.0]))
    assert (problem.partition() >= problem.score(torch.tensor([[0, 0, 1]]))).all()


@SEEDS
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_single_precision_holds_at_the_limit_of_scaled_probabilities(share, seed):
    problem = draw(batch=6, words=80, labels=6, dtype=torch.float32, seed=seed)
    problem = problem._replace(
        emissions=(problem.emissions > 0) * (77.0 * (1 - share)),
        transitions=(problem.transitions > 0) * (77.0 * share / 2),
        start=torch.zeros(6),
        end=(problem.end > 0) * 2.0,
        lengths=torch.arange(75, 81),
    )
    chain = crf._prepare(problem.emissions, problem.transitions, **problem.edges())
    assert crf._is_narrow(chain)
    labels = torch.randint(0, 6, (6, 80))
    double = Problem(*(tensor.double() for tensor in problem[:4]), problem.lengths)
    chain = crf._prepare(double.emissions, double.transitions, **double.edges())
    careful, saved = crf._log_forward(chain)
    expected = crf._log_expectations(chain, saved, weights=torch.ones(6))
    leaves = [tensor.clone().requires_grad_() for tensor in problem[:4]]
    partition = Problem(*leaves, problem.lengths).partition()
    torch.testing.assert_close(partition.double(), careful, rtol=1e-5, atol=0)
    partition.sum().backward()
    found = leaves[0].grad.transpose(0, 1).double(), leaves[1].grad.double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (problem.partition() >= problem.score(labels) * (1 - 1e-6)).all()


@pytest.mark.gpu
@KINDS
def test_another_device_gives_the_same(scale, forbidden):
    problem = draw(batch=8, words=9, labels=5, scale=scale, forbidden=forbidden)
    labels = torch.randint(0, 5, (8, 9))
    there = Problem(*(tensor.cuda() for tensor in problem))
    for ours, theirs in zip(outcomes(there, labels.cuda()), outcomes(problem, labels), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    half = draw(dtype=torch.float32).emissions.to(dtype)
    problem = draw(dtype=torch.float32)._replace(emissions=half.requires_grad_())
    full = problem._replace(emissions=half.detach().float())
    torch.testing.assert_close(problem.partition(), full.partition())
    problem.partition().sum().backward()
    assert half.grad.dtype == dtype


def test_autocast_does_not_lower_the_precision():
    problem = draw(batch=8, words=20, labels=7, dtype=torch.float32)
    labels = torch.zeros(8, 20, dtype=torch.long)
    plain = outcomes(problem, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = outcomes(problem, labels)
    for ours, theirs in zip(lowered, plain, strict=True):
        assert torch.equal(ours, theirs)


def test_empty_sentences_score_zero():
    problem = draw(batch=3)._replace(lengths=torch.zeros(3, dtype=torch.long))
    assert not problem.partition().any()
    assert not problem.score(torch.zeros(3, 5, dtype=torch.long)).any()
    leaf = problem.emissions.clone().requires_grad_()
    problem._replace(emissions=leaf).partition().sum().backward()
    assert not leaf.grad.any()


@pytest.mark.parametrize(("batch", "words"), [(0, 0), (0, 4), (3, 0)])
def test_batches_without_any_word_are_allowed(batch, words):
    lengths = torch.zeros(batch, dtype=torch.long)
    problem = draw()._replace(
        emissions=torch.zeros(batch, words, 3, requires_grad=True), lengths=lengths
    )
    labels = torch.zeros(batch, words, dtype=torch.long)
    assert problem.partition().shape == problem.score(labels).shape == (batch,)
    problem.partition().sum().backward()
    found = crf.viterbi(problem.emissions, problem.transitions, **problem.edges())
    assert found.shape == (batch, words)
    found = crf.marginals(problem.emissions, problem.transitions, **problem.edges())
    assert found.shape == (batch, words, 3)


def test_impossible_sentences_have_no_gradient():
    problem = draw(batch=4)
    leaves = [tensor.clone().requires_grad_() for tensor in problem[:4]]
    closed = leaves[1] + NEGATIVE_INFINITY
    here = Problem(leaves[0], closed, leaves[2], leaves[3], torch.tensor([0, 1, 2, 5]))
    partition = here.partition()
    assert torch.isfinite(partition).tolist() == [True, True, False, False]
    partition.sum().backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)
    assert not leaves[0].grad[2:].any()


@pytest.mark.parametrize("penalty", [NEGATIVE_INFINITY, -1e4, -1e30])
def test_training_with_forbidden_transitions_stays_finite(penalty):
    problem = draw(batch=8, words=9, labels=5, dtype=torch.float32)
    allowed, start = bio_transitions(["O", "B-X", "I-X", "B-Y", "I-Y"])
    leaf = problem.transitions.clone().requires_grad_()
    here = problem._replace(
        transitions=leaf.masked_fill(~allowed, penalty),
        start=problem.start.masked_fill(~start, penalty),
    )
    labels = torch.tensor([0, 1, 2, 2, 3, 4, 0, 1, 3]).expand(8, 9)
    loss = (here.partition() - here.score(labels)).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(leaf.grad).all()
    assert not leaf.grad[~allowed].any()


@SEEDS
def test_constrained_decoding_emits_no_illegal_bigram(seed):
    names = ["O", "I-X", "B-X", "I-Y", "B-Y"]
    allowed, start = bio_transitions(names)
    problem = draw(batch=40, words=15, labels=5, scale=50.0, seed=seed)
    problem = problem._replace(lengths=torch.arange(40) % 16)
    free = crf.viterbi(problem.emissions, problem.transitions, **problem.edges())
    here = problem._replace(
        transitions=problem.transitions.masked_fill(~allowed, NEGATIVE_INFINITY),
        start=problem.start.masked_fill(~start, NEGATIVE_INFINITY),
    )
    bound = crf.viterbi(here.emissions, here.transitions, **here.edges())

    def illegal(labels: Tensor) -> int:
        count = 0
        for row, length in zip(labels.tolist(), problem.lengths.tolist(), strict=True):
            row = row[:length]
            count += sum(not allowed[pair] for pair in itertools.pairwise(row))
            count += bool(row) and not start[row[0]]
        return count

    assert illegal(bound) == 0
    assert illegal(free) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transitions": torch.zeros(2, 3)}, "transitions must have shape"),
        ({"start": torch.zeros(2)}, "start must have shape"),
        ({"end": torch.zeros(3, 1)}, "end must have shape"),
        ({"lengths": torch.ones(2, dtype=torch.long)}, "lengths must have shape"),
        ({"lengths": torch.full((6,), 6)}, "hold 5 words"),
        ({"lengths": torch.full((6,), -1)}, "lengths lie in -1"),
        ({"emissions": torch.zeros(6, 5)}, "emissions must be"),
    ],
)
def test_shapes_that_disagree_are_refused(change, message):
    problem = draw()._replace(**change)
    with pytest.raises(ValueError, match=message):
        problem.partition()


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="batch and words must agree"):
        draw().score(torch.zeros(6, 4, dtype=torch.long))
