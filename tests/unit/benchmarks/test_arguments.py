"""What the command lines of benchmarks take for numbers."""

from collections.abc import Callable

import pytest

from benchmarks.growth.__main__ import main as growth
from benchmarks.peers.__main__ import main as peers
from benchmarks.speed.__main__ import main as speed


@pytest.mark.parametrize(
    ("program", "option", "value", "message"),
    [
        (growth, "--rounds", "0", "--rounds: 0 is too few; give a whole number from 1"),
        (speed, "--sentences", "-3", "--sentences: -3 is too few; give a whole number from 1"),
        (peers, "--seeds", "0", "--seeds: 0 is too few; give a whole number from 1"),
        (peers, "--seeds", "two", "--seeds: 'two' is no whole number; give a whole number from 1"),
        (peers, "--budget", "0", "--budget: 0 is too little; give a number above 0"),
        (peers, "--limit", "nan", "--limit: nan is too little; give a number above 0"),
        (peers, "--memory", "inf", "--memory: inf is too much; give a number above 0"),
        (peers, "--memory", "much", "--memory: 'much' is no number; give a number above 0"),
    ],
)
def test_numbers_that_measure_nothing_are_refused(
    program: Callable[[list[str]], None],
    option: str,
    value: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        program([f"{option}={value}"])
    assert f"argument {message}" in capsys.readouterr().err
