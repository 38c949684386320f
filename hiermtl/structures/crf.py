"""Batched linear-chain conditional random fields (Lafferty, McCallum & Pereira, 2001).

The score of a labelling ``y`` of a sentence of ``n`` words is::

    start[y_1] + sum_t emissions[t, y_t] + sum_{t>1} transitions[y_{t-1}, y_t] + end[y_n]

Transitions are indexed ``(from, to)``. A sentence of zero words has one labelling, of score 0.
Whatever stands in the padding of any argument (NaN included) has no influence on results or on
gradients. All work is done in float32, or in float64 when the emissions are float64, also under
autocast.

``log_partition`` has a hand-written derivative: the derivative of the log partition is the
expected count of every factor, so one backward recursion replaces the recorded graph of the
forward loop. Two recursions are at hand and the input decides between them:

* scaled probabilities with one matrix product per word (Rabiner, 1989, section V.A), when the
  range of the scores proves that nothing can underflow, and
* log space throughout, when it does not (``-inf`` or very large scores).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_SAFE_RANGE = {torch.float32: 80.0, torch.float64: 600.0}
_NEGATIVE_INFINITY = float("-inf")


class _Chain(NamedTuple):
    """Checked inputs: words first, full precision, padding cleared."""

    emissions: Tensor  # (words, batch, labels)
    transitions: Tensor  # (labels, labels)
    start: Tensor  # (labels,)
    end: Tensor  # (labels,)
    lengths: Tensor  # (batch,)
    mask: Tensor  # (words, batch), true on words
    last: Tensor  # (words, batch), true on the last word of each sentence


def log_partition(
    emissions: Tensor, transitions: Tensor, *, start: Tensor, end: Tensor, lengths: Tensor
) -> Tensor:
    """Logarithm of the summed exponentiated scores of all labellings.

    Args:
        emissions: Scores ``(batch, words, labels)``, padded on the right.
        transitions: Scores ``(labels, labels)``, from row to column; ``-inf`` forbids.
        start: Scores ``(labels,)`` of the first label.
        end: Scores ``(labels,)`` of the last label.
        lengths: Number of words ``(batch,)``, zero allowed.

    Returns:
        ``(batch,)`` in nats; ``-inf`` (with zero gradient) where every labelling is forbidden.
        Differentiable once with respect to all four score tensors; a backward pass with
        ``create_graph`` is refused.

    Raises:
        ValueError: If shapes or lengths disagree.
    """
    _check(emissions, transitions, start=start, end=end, lengths=lengths)
    return _LogPartition.apply(emissions, transitions, start, end, lengths)


def sequence_score(
    emissions: Tensor,
    labels: Tensor,
    *,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    lengths: Tensor,
) -> Tensor:
    """Score of one given labelling per sentence.

    Args:
        emissions: Scores ``(batch, words, labels)``, padded on the right.
        labels: Label indices ``(batch, words)``; any value in the padding.
        transitions: Scores ``(labels, labels)``, from row to column.
        start: Scores ``(labels,)`` of the first label.
        end: Scores ``(labels,)`` of the last label.
        lengths: Number of words ``(batch,)``, zero allowed.

    Returns:
        ``(batch,)`` in nats, never above the log partition of the same scores.

    Raises:
        ValueError: If shapes or lengths disagree.
    """
    _check(emissions, transitions, start=start, end=end, lengths=lengths)
    if labels.shape != emissions.shape[:2]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, emissions {tuple(emissions.shape)}: "
            "batch and words must agree"
        )
    batch, words, width = emissions.shape
    if not words:
        return emissions.new_zeros(batch, dtype=_precision(emissions))
    with torch.autocast(emissions.device.type, enabled=False):
        dtype = _precision(emissions)
        lengths = lengths.to(emissions.device)
        mask = torch.arange(words, device=emissions.device) < lengths[:, None]
        labels = labels.masked_fill(~mask, 0)
        unary = emissions.gather(2, labels.unsqueeze(2)).squeeze(2).to(dtype)
        pairs = (labels[:, :-1] * width + labels[:, 1:]).flatten()
        binary = transitions.to(dtype).flatten().index_select(0, pairs).view(batch, words - 1)
        first = start.to(dtype).index_select(0, labels[:, 0])
        final_labels = labels.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        final = end.to(dtype).index_select(0, final_labels)
        total = unary.masked_fill(~mask, 0.0).sum(1)
        total = total + binary.masked_fill(~mask[:, 1:], 0.0).sum(1)
        return total + (first + final).masked_fill(lengths == 0, 0.0)


def marginals(
    emissions: Tensor, transitions: Tensor, *, start: Tensor, end: Tensor, lengths: Tensor
) -> Tensor:
    """Posterior probability of every label at every word.

    Args:
        emissions: Scores ``(batch, words, labels)``, padded on the right.
        transitions: Scores ``(labels, labels)``, from row to column; ``-inf`` forbids.
        start: Scores ``(labels,)`` of the first label.
        end: Scores ``(labels,)`` of the last label.
        lengths: Number of words ``(batch,)``, zero allowed.

    Returns:
        ``(batch, words, labels)``: each word sums to one; zero in the padding and in sentences
        of which every labelling is forbidden. Not differentiable.

    Raises:
        ValueError: If shapes or lengths disagree.
    """
    _check(emissions, transitions, start=start, end=end, lengths=lengths)
    with torch.no_grad(), torch.autocast(emissions.device.type, enabled=False):
        chain = _prepare(emissions, transitions, start=start, end=end, lengths=lengths)
        if not chain.mask.numel():
            return torch.zeros_like(emissions, dtype=chain.emissions.dtype)
        weights = torch.ones_like(lengths, dtype=chain.emissions.dtype)
        if _is_narrow(chain):
            _, saved = _scaled_forward(chain)
            unary, _ = _scaled_expectations(chain, saved, weights=weights)
        else:
            _, saved = _log_forward(chain)
            unary, _ = _log_expectations(chain, saved, weights=weights)
        return unary.transpose(0, 1).contiguous()


def viterbi(
    emissions: Tensor, transitions: Tensor, *, start: Tensor, end: Tensor, lengths: Tensor
) -> Tensor:
    """Highest-scoring labelling of every sentence (Viterbi, 1967).

    Only ``-inf`` is certain to keep a transition out: a large negative number can be outweighed
    by emissions. A sentence without any permitted labelling gets an arbitrary one.

    Args:
        emissions: Scores ``(batch, words, labels)``, padded on the right.
        transitions: Scores ``(labels, labels)``, from row to column; ``-inf`` forbids.
        start: Scores ``(labels,)`` of the first label.
        end: Scores ``(labels,)`` of the last label.
        lengths: Number of words ``(batch,)``, zero allowed.

    Returns:
        Label indices ``(batch, words)``, int64, 0 in the padding. Among equal scores the
        labelling with the lowest index at its last differing word.

    Raises:
        ValueError: If shapes or lengths disagree.
    """
    _check(emissions, transitions, start=start, end=end, lengths=lengths)
    with torch.no_grad(), torch.autocast(emissions.device.type, enabled=False):
        chain = _prepare(emissions, transitions, start=start, end=end, lengths=lengths)
        batch, words = emissions.shape[:2]
        if not chain.mask.numel():
            return torch.zeros(batch, words, dtype=torch.long, device=emissions.device)
        into = chain.transitions.T.contiguous()
        scores = chain.start + chain.emissions[0]
        best, origins = [scores], []
        for emission in chain.emissions[1:].unbind(0):
            scores, origin = (scores.unsqueeze(1) + into).max(2)
            scores = scores + emission
            best.append(scores)
            origins.append(origin)
        final = (torch.stack(best) + chain.end).argmax(2)
        path = [final[-1]]
        for word in range(words - 2, -1, -1):
            previous = origins[word].gather(1, path[-1].unsqueeze(1)).squeeze(1)
            path.append(torch.where(chain.mask[word + 1], previous, final[word]))
        path.reverse()
        return torch.stack(path, dim=1).masked_fill(~chain.mask.T, 0)


class _LogPartition(torch.autograd.Function):
    """Log partition with expected factor counts as its derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        lengths: Tensor,
    ) -> Tensor:
        with torch.autocast(emissions.device.type, enabled=False):
            chain = _prepare(emissions, transitions, start=start, end=end, lengths=lengths)
            if not chain.mask.numel():
                ctx.saved = None
                return emissions.new_zeros(len(lengths), dtype=chain.emissions.dtype)
            ctx.narrow = _is_narrow(chain)
            total, ctx.saved = _scaled_forward(chain) if ctx.narrow else _log_forward(chain)
            ctx.chain = chain
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the log partition is differentiable once: take its gradient without create_graph"
            )
        if ctx.saved is None:
            return None, None, None, None, None
        chain: _Chain = ctx.chain
        with torch.autocast(chain.emissions.device.type, enabled=False):
            expect = _scaled_expectations if ctx.narrow else _log_expectations
            unary, pairs = expect(chain, ctx.saved, weights=grads[0])
            final = unary.masked_fill(~chain.last.unsqueeze(2), 0.0).sum((0, 1))
            return unary.transpose(0, 1), pairs, unary[0].sum(0), final, None


def _precision(emissions: Tensor) -> torch.dtype:
    return torch.float64 if emissions.dtype == torch.float64 else torch.float32


def _check(
    emissions: Tensor, transitions: Tensor, *, start: Tensor, end: Tensor, lengths: Tensor
) -> None:
    if emissions.dim() != 3:
        raise ValueError(f"emissions must be (batch, words, labels), not {tuple(emissions.shape)}")
    batch, words, labels = emissions.shape
    for name, tensor, shape in (
        ("transitions", transitions, (labels, labels)),
        ("start", start, (labels,)),
        ("end", end, (labels,)),
        ("lengths", lengths, (batch,)),
    ):
        if tensor.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
    if batch:
        shortest, longest = (int(value) for value in lengths.aminmax())
        if shortest < 0 or longest > words:
            raise ValueError(
                f"lengths lie in {shortest}..{longest}, but the emissions hold {words} words"
            )


def _prepare(
    emissions: Tensor, transitions: Tensor, *, start: Tensor, end: Tensor, lengths: Tensor
) -> _Chain:
    dtype = _precision(emissions)
    lengths = lengths.to(emissions.device)
    positions = torch.arange(emissions.shape[1], device=emissions.device).unsqueeze(1)
    mask = positions < lengths
    cleared = emissions.detach().transpose(0, 1).to(dtype)
    return _Chain(
        emissions=cleared.masked_fill(~mask.unsqueeze(2), 0.0),
        transitions=transitions.detach().to(dtype),
        start=start.detach().to(dtype),
        end=end.detach().to(dtype),
        lengths=lengths,
        mask=mask,
        last=positions == lengths - 1,
    )


def _is_narrow(chain: _Chain) -> bool:
    """Whether scaled probabilities cannot underflow.

    After one step the forward scores of two labels differ by at most the range of the
    transitions plus that of the emissions of one word, and one more transition is multiplied in
    before the next scaling. Hence twice the one plus the other bounds the logarithm of the
    smallest factor against the largest.
    """
    total = 0.0
    for scores, times in ((chain.transitions, 2.0), (chain.start, 1.0), (chain.end, 1.0)):
        low, high = scores.aminmax()
        total += times * (float(high) - float(low))
    low, high = chain.emissions.aminmax(dim=2)
    return total + float((high - low).max()) < _SAFE_RANGE[chain.emissions.dtype]


def _scaled_forward(chain: _Chain) -> tuple[Tensor, tuple[Tensor, ...]]:
    peaks = chain.emissions.amax(2)
    factors = (chain.emissions - peaks.unsqueeze(2)).exp_()
    top, top_start, top_end = chain.transitions.max(), chain.start.max(), chain.end.max()
    moves = (chain.transitions - top).exp_()
    exits = (chain.end - top_end).exp_()
    forward = torch.empty_like(factors)
    scales = torch.empty_like(peaks).unsqueeze_(2)
    previous = None
    for now, factor, scale in zip(
        forward.unbind(0), factors.unbind(0), scales.unbind(0), strict=True
    ):
        if previous is None:
            torch.mul((chain.start - top_start).exp_(), factor, out=now)
        else:
            torch.mm(previous, moves, out=now).mul_(factor)
        torch.sum(now, 1, keepdim=True, out=scale)
        previous = now.div_(scale)
    position = (chain.lengths - 1).clamp_(min=0).view(1, -1, 1)
    ending = forward.gather(0, position.expand(1, -1, forward.shape[2]))[0].mv(exits)
    total = (scales.squeeze(2).log() + peaks).masked_fill_(~chain.mask, 0.0).sum(0)
    total += (chain.lengths - 1) * top + top_start + top_end + ending.log()
    total = total.masked_fill_(chain.lengths == 0, 0.0)
    leaving = chain.last.unsqueeze(2) * (exits / ending.unsqueeze(1))
    return total, (forward, factors / scales, moves, leaving)


def _scaled_expectations(
    chain: _Chain, saved: tuple[Tensor, ...], *, weights: Tensor
) -> tuple[Tensor, Tensor]:
    forward, factors, moves, leaving = saved
    moves_back = moves.T.contiguous()
    backward = torch.empty_like(forward)
    carried = torch.empty_like(forward)
    following = None
    for now, message, exit_, factor in zip(
        reversed(backward.unbind(0)),
        reversed(carried.unbind(0)),
        reversed(leaving.unbind(0)),
        reversed(factors.unbind(0)),
        strict=True,
    ):
        if following is None:
            now.copy_(exit_)
        else:
            torch.addmm(exit_, following, moves_back, out=now)
        torch.mul(now, factor, out=message)
        following = message
    column = weights.to(forward.dtype).view(1, -1, 1)
    unary = backward.mul_(forward).mul_(column)
    width = forward.shape[2]
    messages = carried[1:].mul_(column).reshape(-1, width)
    return unary, moves * (forward[:-1].reshape(-1, width).T @ messages)


def _log_forward(chain: _Chain) -> tuple[Tensor, tuple[Tensor, ...]]:
    into = chain.transitions.T.contiguous()
    scores = chain.start + chain.emissions[0]
    forward = [scores]
    for emission in chain.emissions[1:].unbind(0):
        scores = torch.logsumexp(scores.unsqueeze(1) + into, 2) + emission
        forward.append(scores)
    stacked = torch.stack(forward)
    ends = torch.logsumexp(stacked + chain.end, 2)
    total = ends.masked_fill(~chain.last, 0.0).sum(0)
    return total, (stacked, total)


def _log_expectations(
    chain: _Chain, saved: tuple[Tensor, ...], *, weights: Tensor
) -> tuple[Tensor, Tensor]:
    forward, total = saved
    possible = total > _NEGATIVE_INFINITY
    normaliser = torch.where(possible, total, 0.0).unsqueeze(1)
    column = weights.to(forward.dtype).unsqueeze(1)
    alive = (chain.mask & possible).unsqueeze(2)
    pairs = torch.zeros_like(chain.transitions)
    backward = [chain.end.expand_as(forward[0])]
    for word in range(len(forward) - 1, 0, -1):
        message = chain.emissions[word] + backward[-1] - normaliser
        inside = message.unsqueeze(1) + chain.transitions
        joint = torch.exp(forward[word - 1].unsqueeze(2) + inside)
        joint = joint.masked_fill_(~alive[word].unsqueeze(2), 0.0)
        pairs += torch.einsum("bft,b->ft", joint, weights.to(forward.dtype))
        scores = torch.logsumexp(inside, 2) + normaliser
        backward.append(torch.where(chain.last[word - 1].unsqueeze(1), chain.end, scores))
    backward.reverse()
    unary = torch.exp(forward + torch.stack(backward) - normaliser)
    return unary.masked_fill_(~alive, 0.0) * column, pairs
