import pytest
import torch

from hiermtl.seeding import derived_seed, seeded


def test_seeds_are_fixed_numbers_on_every_platform() -> None:
    # Models made with a seed must come out the same for ever: these numbers may not change.
    assert derived_seed(0, "heads", "upos") == 5315282804885526774
    assert derived_seed(1, "block", 3) == 7978715082177544813


def test_every_name_and_every_seed_has_a_seed_of_its_own() -> None:
    names = [
        (seed, *rest)
        for seed in range(20)
        for rest in ((), ("a",), ("a", "b"), ("ab",), ("b", "a"))
    ]
    assert len({derived_seed(*name) for name in names}) == len(names)


def test_seeds_fit_torchs_generator() -> None:
    for seed in range(100):
        torch.Generator().manual_seed(derived_seed(seed, "anything"))
        assert 0 <= derived_seed(seed, "anything") < 2**63


def test_inside_the_draw_depends_on_seed_and_names_alone() -> None:
    drawn = []
    for before in range(2):
        torch.manual_seed(before)
        with seeded(3, "heads", "ner"):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    with seeded(3, "heads", "upos"):
        assert not torch.equal(torch.rand(4), drawn[0])


def fail_after_drawing() -> None:
    with seeded(0, "x"):
        torch.rand(10)
        raise ZeroDivisionError


def test_outside_it_is_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with pytest.raises(ZeroDivisionError):
        fail_after_drawing()
    assert torch.equal(torch.rand(2), expected)
