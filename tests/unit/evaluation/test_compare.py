"""Runs against each other: means, spreads, and a test that knows seeds from documents."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiermtl.commands import compare
from hiermtl.errors import DataError, RecipeError
from hiermtl.evaluation.compare import compare_results
from hiermtl.evaluation.results import RunResult, Units, read_result
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.evaluation.significance import Drawn, holm
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.correlation import Correlation

COLUMNS = Accuracy().columns


def units(rates: np.ndarray) -> Units:
    """Documents of 100 items each, with these shares right."""
    rows = np.zeros((len(rates), len(COLUMNS)))
    right, total = Accuracy().count([["a"]], [["a"]])[0].nonzero()[0].tolist()
    rows[:, right], rows[:, total] = np.round(100 * rates), 100
    return Units("accuracy", COLUMNS, rows)


def result(arm: str, seed: int, rates: np.ndarray, *, size: int | None = None) -> RunResult:
    score = float(np.round(100 * rates).mean())
    row = ScoreRow(1, 1, "upos", "accuracy", score, 100, "d", "test", "accuracy", "fp32", seed)
    cost = {"steps": 10, "words": 1000, "seconds": 60.0, "parameters": 5}
    return RunResult(arm, size, seed, {}, cost, (row,), {"upos": units(rates)})


def runs(arm: str, shift: float, *, seeds: int = 5, noise: float = 0.0) -> list[RunResult]:
    random = np.random.default_rng(1)
    base = random.uniform(0.5, 0.8, 60)
    drawn = np.random.default_rng(len(arm)).normal(0, noise, seeds)
    return [result(arm, seed, base + shift + drawn[seed]) for seed in range(seeds)]


def test_a_difference_that_all_seeds_and_documents_show_is_found() -> None:
    found = compare_results([*runs("single", 0), *runs("low", 0.1)], controls=["single"])
    (difference,) = found.differences
    assert difference.mean == pytest.approx(10, abs=0.2)
    assert difference.p is not None
    assert difference.p < 0.01
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= difference.mean <= difference.high
    assert [mean.spread for mean in found.means] == [0, 0]


def test_seeds_that_disagree_are_no_evidence_however_many_documents_there_are() -> None:
    one, other = runs("single", 0, noise=0.08), runs("low", 0.02, noise=0.08)
    (difference,) = compare_results([*one, *other], controls=["single"]).differences
    assert difference.p is not None
    assert difference.p > 0.05
    # Documents alone, of one seed, would have said so with certainty.
    drawn = Drawn(500)
    alone = drawn.of(other[0], "upos")[0] - drawn.of(one[0], "upos")[0]
    assert abs(alone.mean()) > 3 * alone.std()


def test_a_correlation_that_cannot_be_told_is_no_evidence() -> None:
    """One seed of the control predicts a constant, which `evaluate` scores as 0."""
    gold = np.linspace(1, 5, 60).tolist()
    metric = Correlation()

    def of(arm: str, seed: int, noise: float | None) -> RunResult:
        drawn = np.random.default_rng(seed).normal(0, 3, 60)
        rows = metric.count(gold, [3.0] * 60 if noise is None else (gold + noise * drawn).tolist())
        score = 0.0 if noise is None else metric.score(rows.sum(0))["pearson"]
        row = ScoreRow(1, 1, "rel", "pearson", score, 60, "d", "test", "pearson", "fp32", seed)
        own = Units("correlation", metric.columns, rows)
        return RunResult(arm, None, seed, {}, {}, (row,), {"rel": own})

    arms = [of("a", seed, 1) for seed in range(3)]
    others = [of("b", seed, None if seed == 1 else 1) for seed in range(3)]
    found = compare_results([*arms, *others], controls=["b"], resamples=500)
    (difference,) = found.differences
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= difference.mean <= difference.high
    assert difference.p is not None
    assert difference.p > 0.05
    assert json.loads(found.to_json())


def test_two_seeds_are_not_tested() -> None:
    found = compare_results([*runs("single", 0, seeds=2), *runs("low", 0.1, seeds=2)])
    assert not found.differences
    found = compare_results(
        [*runs("single", 0, seeds=2), *runs("low", 0.1, seeds=2)], controls=["single"]
    )
    assert [item.p for item in found.differences] == [None]
    assert "where one of both arms has fewer than 3 seeds nothing is tested" in found.to_text()


def test_arms_without_a_control_are_told_how_to_get_one() -> None:
    both = [*runs("a", 0), *runs("b", 0.1)]
    message = "no arm is a control, so that no differences are shown"
    assert message in compare_results(both).to_text()
    assert message in compare_results(both).to_markdown()
    assert message not in compare_results(both, controls=["a"]).to_text()
    assert message not in compare_results(runs("a", 0)).to_text()  # one arm


def of_tasks(run: RunResult, *tasks: str) -> RunResult:
    """The run with these tasks in the place of its own."""
    row = run.rows[0]
    return replace(
        run,
        rows=tuple(replace(row, task=task) for task in tasks),
        units=dict.fromkeys(tasks, run.units["upos"]),
    )


def test_a_task_that_a_seed_lacks_is_left_out_aloud() -> None:
    one = [of_tasks(run, "upos", "ner") for run in runs("single", 0)]
    other = [of_tasks(run, "upos", "ner") for run in runs("low", 0.1)]
    found = compare_results([*one, *other], controls=["single"])
    assert {item.task for item in found.differences} == {"upos", "ner"}
    assert "left out" not in found.to_text()
    for place in (0, 3):
        other[place] = of_tasks(other[place], "upos")
    found = compare_results([*one, *other], controls=["single"])
    assert {item.task for item in found.differences} == {"upos"}
    said = "low: 'ner' is left out, since there is no score of it for seeds 0 and 3"
    assert said in found.notes
    assert said in found.to_text()
    assert said in found.to_markdown()
    # The first run is no other than the rest.
    assert said in compare_results([*reversed(other), *one], controls=["single"]).notes


def test_arms_without_a_common_task_are_said_to_have_none() -> None:
    one = [of_tasks(run, "ner") for run in runs("single", 0)]
    found = compare_results([*one, *runs("low", 0.1)], controls=["single"])
    assert not found.differences
    assert "low: no difference to single, as they have no task in common (upos and ner)" in (
        found.notes
    )
    assert "no arm is a control" not in found.to_text()
    assert found.controls == ("single",)


def test_tables_say_the_same_in_text_and_markdown() -> None:
    found = compare_results([*runs("single", 0), *runs("low", 0.1)], controls=["single"])
    for table in (found.to_text(), found.to_markdown()):
        assert "difference to single" in table
        assert "upos accuracy" in table
        assert "+10." in table
    assert '"differences"' in found.to_json()


def test_tasks_stand_by_level_and_controls_first(tmp_path: Path) -> None:
    """Controls have all tasks on one level, so that they alone do not know the order."""
    one = result("a", 0, np.full(3, 0.5))
    (row,) = one.rows

    def of(arm: str, levels: dict[str, int]) -> RunResult:
        rows = tuple(replace(row, task=task, level=level) for task, level in levels.items())
        found = dict.fromkeys(levels, one.units["upos"])
        return RunResult(arm, None, 0, {}, one.cost, rows, found)

    made = [
        of("a", {"upos": 1, "dep": 2, "ner": 3}),
        of("hard", {"dep": 1, "ner": 1, "upos": 1}),
        of("single", {"dep": 1, "ner": 1, "upos": 1}),
    ]
    for place, each in enumerate(made):
        each.write(tmp_path / f"{place}.json")
    found = compare([tmp_path], controls=["single", "hard"])
    assert [mean.arm for mean in found.means[::3]] == ["single", "hard", "a"]
    assert [mean.task for mean in found.means] == ["upos", "dep", "ner"] * 3
    text = found.to_text()
    assert text.index("difference to single") < text.index("difference to hard")


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    one = runs("low", 0.1)[0]
    one.write(tmp_path / "a.json")
    again = read_result(tmp_path / "a.json")
    assert (again.arm, again.rows, again.cost) == (one.arm, one.rows, one.cost)
    assert np.array_equal(again.units["upos"].rows, one.units["upos"].rows)
    (tmp_path / "b.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="no result of a run"):
        read_result(tmp_path / "b.json")


def test_what_was_learnt_is_kept_and_a_result_from_before_it_was_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    learnt = {"scheme": "learned", "learnt": {"shares": {"upos": [0.25, 0.75]}, "depths": None}}
    replace(runs("low", 0.1)[0], learnt=learnt).write(file)
    assert read_result(file).learnt == learnt
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["format"] == 1
    del data["learnt"]
    file.write_text(json.dumps(data), encoding="utf-8")
    assert read_result(file).learnt == {}
    file.write_text(json.dumps({**data, "learnt": "all"}), encoding="utf-8")
    with pytest.raises(DataError, match="no result of a run"):
        read_result(file)


def test_results_that_are_kept_are_read() -> None:
    root = Path(__file__).parents[3]
    files = sorted((root / "benchmarks").glob("*/*/results/*.json"))
    assert files
    assert {json.dumps(read_result(file).learnt) for file in files[:20]} == {"{}"}


def test_what_cannot_be_compared_is_refused() -> None:
    one = runs("single", 0)
    with pytest.raises(RecipeError, match="two results are of arm 'single'"):
        compare_results([*one, one[0]])
    with pytest.raises(RecipeError, match="'sngle' is no arm; there are single"):
        compare_results(one, controls=["sngle"])
    shorter = [result("low", seed, np.full(7, 0.5)) for seed in range(5)]
    with pytest.raises(
        RecipeError, match="arms 'single' and 'low' differ in the documents that 'upos'"
    ):
        compare_results([*one, *shorter], controls=["single"])
    with pytest.raises(RecipeError, match="no result to compare"):
        compare_results([])
    with pytest.raises(RecipeError, match="test is 't'; allowed are bootstrap and randomisation"):
        compare_results(one, test="t")


def differing(**changes: Any) -> list[RunResult]:
    """Runs of two arms, of which the second has other rows."""
    other = [
        replace(run, rows=tuple(replace(row, **changes) for row in run.rows))
        for run in runs("low", 0.1)
    ]
    return [*runs("single", 0), *other]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split": "dev"}, "results are of splits dev and test; compare those of one"),
        ({"scorer": "loose"}, "differ in the scorer that 'upos' was scored by: accuracy and loose"),
        ({"data": "gum"}, "differ in the data that 'upos' was scored on: d and gum"),
        ({"items": 99}, "differ in the number of items that 'upos' was scored on: 100 and 99"),
    ],
)
def test_runs_that_were_scored_otherwise_are_refused(changes: Any, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        compare_results(differing(**changes), controls=["single"])


def test_another_version_of_the_gold_is_refused_and_the_same_under_another_name_is_not() -> None:
    one = [replace(run, gold={"upos": "aaa"}) for run in runs("single", 0)]
    other = [replace(run, gold={"upos": "bbb"}) for run in runs("low", 0.1)]
    with pytest.raises(
        RecipeError,
        match="scored on other versions of d: the gold of 'upos' is aaa and bbb; .* once its "
        r"result-test\.json is deleted",
    ):
        compare_results([*one, *other], controls=["single"])
    renamed = [
        replace(run, gold={"upos": "aaa"}, rows=tuple(replace(r, data="e") for r in run.rows))
        for run in other
    ]
    assert compare_results([*one, *renamed], controls=["single"]).differences


def test_other_budgets_are_refused_and_those_that_are_not_known_are_not() -> None:
    one = [replace(run, budget={"training.epochs": 4}) for run in runs("single", 0)]
    other = [replace(run, budget={"training.epochs": 15}) for run in runs("low", 0.1)]
    with pytest.raises(
        RecipeError, match=r"'single' and 'low' had other budgets: training\.epochs is 4 and 15"
    ):
        compare_results([*one, *other], controls=["single"])
    mixed = [replace(one[0], budget={"training.epochs": 5}), *one[1:]]
    with pytest.raises(RecipeError, match="seeds 0 and 1 of arm 'single' had other budgets"):
        compare_results(mixed)
    found = compare_results([*one, *runs("low", 0.1)], controls=["single"])
    assert found.differences
    assert "of 5 of 10 results it is not known for how long was trained" in found.to_text()
    assert "of 5 of 10 results it is not known on what data was trained" in found.to_text()
    told = [replace(run, budget={**run.budget, "corpora.c.train": "9 examples"}) for run in one]
    assert "on what data" not in compare_results(told).to_text()


def test_arms_of_other_sizes_are_refused() -> None:
    one = [replace(run, size=1000) for run in runs("single", 0)]
    other = [replace(run, size=2000) for run in runs("low", 0.1)]
    with pytest.raises(
        RecipeError,
        match="arms 'low' and 'single' had other budgets: 2,000 sentences of each corpus and 1,000",
    ):
        compare_results([*one, *other], controls=["single"])
    both = [*other, *(replace(run, size=1000) for run in runs("low", 0.1))]
    assert len(compare_results([*one, *both], controls=["single"]).differences) == 1


def test_arms_without_a_common_seed_are_compared() -> None:
    moved = [replace(run, seed=run.seed + 10) for run in runs("low", 0.1)]
    (found,) = compare_results([*runs("single", 0), *moved], controls=["single"]).differences
    assert found.seeds == 5


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
@pytest.mark.parametrize("first", [0, 2, 10])
def test_all_seeds_of_both_arms_count_whatever_their_numbers(test: str, first: int) -> None:
    """Also where few or none are of one number: the difference is that of the means."""
    moved = [replace(run, seed=run.seed + first) for run in runs("low", 0.02, seeds=5, noise=0.01)]
    both = [*runs("single", 0, seeds=3, noise=0.01), *moved]
    found = compare_results(both, controls=["single"], test=test, resamples=300)
    (difference,) = found.differences
    means = {mean.arm: mean for mean in found.means}
    assert difference.mean == means["low"].mean - means["single"].mean
    assert (difference.seeds, difference.control_seeds) == (5, 3)
    assert (means["low"].seeds, means["single"].seeds) == (5, 3)
    assert difference.p is not None
    assert " 5 and 3 " in found.to_text()
    line = list(csv.DictReader(found.to_csv().splitlines()))[1]
    assert (line["seeds"], line["control_seeds"]) == ("5", "3")
    # Numbers of seeds are names.
    same = [replace(run, seed=run.seed + 100) for run in moved]
    again = compare_results([*both[:3], *same], controls=["single"], test=test, resamples=300)
    assert again.differences == found.differences
    # With two seeds in one arm nothing is tested.
    (bare,) = compare_results([*both[:2], *moved], controls=["single"], test=test).differences
    assert (bare.p, bare.seeds, bare.control_seeds) == (None, 5, 2)


def test_p_values_are_corrected_for_every_pair_of_arms_once() -> None:
    arms = [runs(name, shift, noise=0.01) for name, shift in (("a", 0), ("bb", 0.02), ("ccc", 0))]
    found = compare_results([run for arm in arms for run in arm], controls=["a", "bb"])
    told = {(one.arm, one.control): (one.p, one.p_holm) for one in found.differences}
    assert len(told) == 4
    assert told["bb", "a"] == told["a", "bb"]
    pairs = [told["bb", "a"], told["ccc", "a"], told["ccc", "bb"]]
    assert [corrected for _, corrected in pairs] == holm([p or 0.0 for p, _ in pairs])
    assert "note: 3 differences are tested by bootstrap" in found.to_text()


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_both_tests_find_what_is_there(test: str) -> None:
    found = compare_results(
        [*runs("single", 0, noise=0.01), *runs("low", 0.1, noise=0.01)],
        controls=["single"],
        test=test,
        resamples=500,
    )
    (difference,) = found.differences
    assert found.test == test
    assert difference.p is not None
    assert difference.p < 0.01


def on_two_corpora(arm: str, seed: int, names: tuple[str, str], *, shift: float) -> RunResult:
    """A run scored on two corpora of other documents, which it lists in this order."""
    found, rows = dict[str, Units](), list[ScoreRow]()
    for name in names:
        count, base = {"x": (60, 0.3), "y": (40, 0.6)}[name]
        rates = np.random.default_rng(count).uniform(base, base + 0.3, count)
        noise = np.random.default_rng([seed, count]).normal(0, 0.01, count)
        own = found[f"upos ({name})"] = units(rates + shift + noise)
        right, total = own.rows.sum(axis=0)[:2]
        about = ("upos", "accuracy", 100 * right / total, int(total), name)
        rows.append(ScoreRow(1, 1, *about, "test", "accuracy", "fp32", seed))
    gold = {key: f"gold of {key}" for key in found}
    return RunResult(arm, None, seed, {}, {}, tuple(rows), found, gold=gold)


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
@pytest.mark.parametrize("known", [True, False], ids=["by gold", "by name"])
def test_documents_are_paired_whatever_the_order_of_data_sets(test: str, known: bool) -> None:
    one = [on_two_corpora("a", seed, ("x", "y"), shift=0) for seed in range(3)]
    alike, turned = (
        [on_two_corpora("b", seed + 3, names, shift=0.02) for seed in range(3)]
        for names in (("x", "y"), ("y", "x"))
    )
    if not known:
        one = [replace(run, gold={}) for run in one]
    found = [
        compare_results([*one, *other], controls=["a"], test=test, resamples=300).differences[0]
        for other in (alike, turned)
    ]
    assert replace(found[0], mean=0.0, low=0.0, high=0.0) == replace(
        found[1], mean=0.0, low=0.0, high=0.0
    )
    for name in ("mean", "low", "high"):
        assert getattr(found[0], name) == pytest.approx(getattr(found[1], name), rel=1e-9)
    assert (found[0].p or 1) < 0.05


def test_the_same_gold_under_other_names_is_paired_by_it() -> None:
    def renamed(run: RunResult) -> RunResult:
        """With the names of both corpora exchanged, but not their documents."""
        other = {"upos (x)": "upos (y)", "upos (y)": "upos (x)"}
        return replace(
            run,
            rows=tuple(replace(row, data={"x": "y", "y": "x"}[row.data]) for row in run.rows),
            units={other[key]: units for key, units in run.units.items()},
            gold={other[key]: gold for key, gold in run.gold.items()},
        )

    one = [on_two_corpora("a", seed, ("x", "y"), shift=0) for seed in range(3)]
    other = [on_two_corpora("b", seed + 3, ("x", "y"), shift=0.02) for seed in range(3)]
    found, again = (
        compare_results([*one, *runs], controls=["a"], resamples=300).differences
        for runs in (other, list(map(renamed, other)))
    )
    assert found == again


def test_the_same_gold_in_other_documents_is_refused() -> None:
    one = [on_two_corpora("a", seed, ("x", "y"), shift=0) for seed in range(3)]
    joined = [
        replace(
            run,
            arm="b",
            units={
                key: replace(own, rows=np.add.reduceat(own.rows, range(0, len(own.rows), 2)))
                for key, own in run.units.items()
            },
        )
        for run in one
    ]
    with pytest.raises(
        RecipeError, match="differ in the documents that 'upos' was scored on: 60, 40 and 30, 20"
    ):
        compare_results([*one, *joined], controls=["a"])


def test_no_score_is_told_without_split_scorer_format_seeds_and_data() -> None:
    def strict(run: RunResult) -> RunResult:
        """The second task's scores by another scorer, on other data."""
        both = of_tasks(run, "upos", "ner")
        upos, ner = both.rows
        return replace(both, rows=(upos, replace(ner, scorer="strict", data="e")))

    one, other = (list(map(strict, arm)) for arm in (runs("single", 0), runs("low", 0.1)))
    other = [replace(run, rows=run.rows[1:]) for run in other]
    found = compare_results([*one, *other[:3]], controls=["single"])
    about = (
        "split test; scorer accuracy (upos accuracy), strict (ner accuracy); dtype fp32; "
        "seeds 0 to 4 (single), 0 to 2 (low); data d (upos accuracy), e (ner accuracy)"
    )
    assert f"note: {about}\n" in found.to_text()
    assert f"- {about}\n" in found.to_markdown()
    assert "number format" not in found.to_text()
    lines = list(csv.DictReader(found.to_csv().splitlines()))
    keys = ("task", "data", "scorer", "dtype", "seed_numbers")
    assert [[line[key] for key in keys] for line in lines] == [
        ["upos", "d", "accuracy", "fp32", "0 1 2 3 4"],
        ["ner", "e", "strict", "fp32", "0 1 2 3 4"],
        ["ner", "e", "strict", "fp32", "0 1 2"],
    ]
    told = json.loads(found.to_json())["means"][0]
    assert (told["data"], told["scorer"], told["dtype"]) == ("d", "accuracy", "fp32")
    assert told["seed_numbers"] == [0, 1, 2, 3, 4]


def test_number_formats_that_differ_are_told_between_arms_and_between_seeds() -> None:
    def rounded(run: RunResult) -> RunResult:
        return replace(run, rows=tuple(replace(row, dtype="bf16") for row in run.rows))

    one, other = runs("single", 0), runs("low", 0.1)
    found = compare_results([*one, *map(rounded, other)], controls=["single"]).to_text()
    assert "; dtype fp32 (single), bf16 (low); " in found
    assert "not all runs were scored in one number format, see dtype" in found
    mixed = [rounded(one[0]), *one[1:]]
    found = compare_results(mixed).to_text()
    assert "dtype bf16 and fp32; seeds 0 to 4; data d" in found
    assert "not all runs were scored in one number format, see dtype" in found
    assert "number format" not in compare_results(list(map(rounded, one))).to_text()


def test_csv_has_a_line_for_each_task_arm_and_control() -> None:
    found = compare_results([*runs("single", 0), *runs("low", 0.1)], controls=["single"])
    lines = list(csv.DictReader(found.to_csv().splitlines()))
    assert [(line["arm"], line["control"]) for line in lines] == [("single", ""), ("low", "single")]
    assert (lines[1]["level"], lines[1]["task"], lines[1]["test"]) == ("1", "upos", "bootstrap")
    (difference,) = found.differences
    assert float(lines[1]["difference"]) == difference.mean
    assert float(lines[1]["p_holm"]) == difference.p_holm
    assert lines[0]["p"] == ""


def test_a_data_frame_has_the_rows_of_the_csv() -> None:
    found = compare_results([*runs("single", 0), *runs("low", 0.1)], controls=["single"])
    table = found.to_pandas()
    assert list(table.columns) == found.to_csv().splitlines()[0].split(",")
    (difference,) = found.differences
    (row,) = table[table.control == "single"].to_dict("records")
    assert (row["arm"], row["p_holm"]) == ("low", difference.p_holm)
    assert len(table) == 2
    assert str(found) == found.to_text()
