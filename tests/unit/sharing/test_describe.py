"""What is kept of a scheme: plain, small, and what the model computes by."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from hiermtl.sharing import SHARING, Routes, describe
from hiermtl.sharing.describe import MOST_NUMBERS, brief
from tests.worlds import World, make_world, randomise

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}


@pytest.mark.parametrize("scheme", SHARING)
def test_json_says_all_of_every_scheme(scheme: str) -> None:
    sharing = make_world("bilstm", scheme).model.sharing
    found = describe(sharing)
    assert json.loads(json.dumps(found)) == found
    assert found["scheme"] == scheme
    assert set(found["learnt"]) == set(sharing.learnt())
    structure, routes = found["structure"], Routes(sharing)
    assert structure["depths"] == {task.name: task.depth for task in sharing.hierarchy}
    there = {(depth, name) for depth, own in enumerate(structure["branches"]) for name in own}
    assert there == set().union(*(routes[task].raw for task in sharing.hierarchy.names))
    for task, reads in structure["reads"].items():
        assert [tuple(read) for read in reads] == list(sharing.reads(task))
        assert {tuple(read) for read in reads} <= there
    for depth, own in enumerate(structure["branches"]):
        for parent in own.values():
            assert (parent is None) == (not depth)
            assert not depth or (depth - 1, parent) in there


def test_flows_are_told_where_there_are_any() -> None:
    def structure(scheme: str) -> dict[str, object]:
        return describe(make_world("bilstm", scheme, depths=DEPTHS).model.sharing)["structure"]

    plain = structure("low_supervision")
    assert [plain[flow] for flow in ("mixes", "ties", "feeds", "sees")] == [{}] * 4
    mixed = structure("cross_stitch")
    # Each task's stream runs to the top, where only that of the one read there is wanted.
    every = ["upos", "ner", "dep"]
    assert mixed["mixes"] == {"1": [[every, every]], "2": [[every, every]], "3": [[["dep"], every]]}
    assert plain["prior"] == []
    assert structure("relationship")["prior"] == ["unit", "task"]
    joint = structure("joint_many")
    assert joint["feeds"] == {"2": ["upos"], "3": ["upos", "ner"]}
    assert joint["sees"] == {"2": [[0, "shared"]], "3": [[0, "shared"]]}


def held_together(world: World) -> dict[str, set[frozenset[str]]]:
    """By depth the pairs of copies of which one's weights change the pull on the other's.

    Copies start equal, and are then moved apart.
    """
    model, found = world.model, {}
    model.sharing.begin(model.stack, model.heads)
    randomise(model.named_parameters())

    def pulls(copies: torch.nn.ModuleDict) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        terms = model.sharing.penalties(model.stack, model.heads)
        if terms:
            torch.stack([term.double() for term in terms.values()]).sum().backward()
        grads = {name: [p.grad for p in copy.parameters()] for name, copy in copies.items()}
        return {
            name: torch.cat([g.flatten() for g in own if g is not None] or [torch.zeros(1)])
            for name, own in grads.items()
        }

    for depth in range(1, model.stack.depth + 1):
        copies = model.stack.copies(depth)
        before = pulls(copies)
        for name, copy in copies.items():
            with torch.no_grad():
                moved = [p.clone() for p in copy.parameters()]
                for p in copy.parameters():
                    p.add_(torch.rand_like(p))
            for other, pull in pulls(copies).items():
                if other != name and not torch.allclose(pull, before[other], rtol=1e-9, atol=0):
                    found.setdefault(str(depth), set()).add(frozenset((name, other)))
            with torch.no_grad():
                for p, old in zip(copy.parameters(), moved, strict=True):
                    p.copy_(old)
    return found


@pytest.mark.parametrize("scheme", SHARING)
def test_ties_are_those_of_the_terms_on_weights(scheme: str) -> None:
    depths = None if scheme == "hard" else DEPTHS
    world = make_world("bilstm", scheme, depths=depths, spread=0.0)
    ties = describe(world.model.sharing)["structure"]["ties"]
    told = {
        depth: {frozenset(pair) for group in groups for pair in combinations(group, 2)}
        for depth, groups in ties.items()
    }
    assert held_together(world) == told
    assert bool(told) == scheme.startswith("soft")


def test_without_strength_nothing_is_held_together() -> None:
    given = {"name": "soft_l2", "strength": 0.0}
    assert held_together(make_world("bilstm", given, depths=DEPTHS, spread=0.0)) == {}


def test_a_block_that_no_task_depends_on_is_not_told() -> None:
    given = {"name": "learned", "taps": {"upos": 1, "ner": 2, "dep": 2}}
    found = describe(make_world("bilstm", given, depths=dict.fromkeys(DEPTHS, 3)).model.sharing)
    assert len(found["structure"]["branches"]) == 3
    assert found["structure"]["depths"] == dict.fromkeys(sorted(DEPTHS), 3)


def test_numbers_are_rounded_and_those_of_channels_become_mean_and_spread() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 2, MOST_NUMBERS)).tolist()
    learnt = {"alpha": {3: {"streams": ["a", "b"], "values": values}}, "none": None, "zeros": 4}
    told = brief(learnt)["alpha"]["3"]
    assert told["streams"] == ["a", "b"]
    assert np.allclose(told["values"]["mean"], np.mean(values, -1), atol=5.1e-5)
    assert np.allclose(told["values"]["spread"], np.std(values, -1), atol=5.1e-5)
    few = {"alpha": [[[0.123456, -0.00001], [1.0, 2.0]]], "none": None, "zeros": 4}
    assert brief(few) == {"alpha": [[[0.1235, 0.0], [1.0, 2.0]]], "none": None, "zeros": 4}
    assert str(brief(few)["alpha"][0][0][1]) == "0.0"


def test_shares_of_whole_streams_and_names_are_kept_however_many_they_are() -> None:
    random = np.random.default_rng(0)
    many = random.normal(size=(50, 50)).tolist()
    tree = {"1": [[["upos", "ner"], ["dep"]]]}
    told = brief({"correlations": many, "tree": tree})
    assert np.allclose(told["correlations"], many, atol=5.1e-5)
    assert told["tree"] == tree
