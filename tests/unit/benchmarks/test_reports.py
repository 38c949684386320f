"""What benchmarks say of what they measured, by results made by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import facts
from benchmarks.cluster import report as cluster
from benchmarks.cold_start import report as cold_start
from benchmarks.exits import report as exits
from benchmarks.gpu import report as gpu
from benchmarks.gpu.measure import _optimizer_as_it_comes
from benchmarks.graphs import report as graphs
from benchmarks.grids import Experiment, Trials, cell
from benchmarks.growth import report as growth
from benchmarks.learnt import Sharings
from benchmarks.mechanisms import report as mechanisms
from benchmarks.pipelines import report as pipelines
from benchmarks.processes import report as processes
from benchmarks.significance import report as significance
from benchmarks.speed import report as speed
from benchmarks.start_up import report as start_up
from benchmarks.timing import Variant, interleave, ratios
from benchmarks.upper.scores import LevelScores
from hiermtl.evaluation.compare import Difference
from hiermtl.evaluation.results import RunResult, Units
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.training import Settings, loop
from hiermtl.training.optimizer import PEAK
from tests.worlds import make_world

MADE: dict[str, Any] = {
    "machine": {
        "processor": "Abacus",
        "threads": 2,
        "cores": 4,
        "versions": {"torch": "9.1", "spacy": "8.2", "numpy": "7.3"},
    },
    "commit": {"name": "0123456789abcdef", "changed": False},
    "load": [1.26, None],
}


def test_the_circumstances_of_a_result_are_one_clause() -> None:
    assert facts.circumstances(MADE) == (
        "Abacus, 2 threads on 4 cores, torch 9.1, spaCy 8.2, commit 0123456789, load 1.3 to unknown"
    )
    changed = {**MADE, "commit": {"name": "0123456789abcdef", "changed": True}}
    assert "commit 0123456789 with changes" in facts.circumstances(changed)
    assert "outside git" in facts.circumstances({**MADE, "commit": None})
    machine = {**MADE["machine"], "device": "Loom"}
    assert facts.circumstances({**MADE, "machine": machine}).startswith("Loom, 2 threads")


def test_every_round_runs_all_variants_and_begins_with_another_one() -> None:
    ran: list[str] = []
    variants = [
        Variant(name, "g", "fp32", lambda name=name: ran.append(name), 1, 1.0) for name in "abc"
    ]
    seconds = interleave(variants, 3, device=torch.device("cpu"))
    assert "".join(ran) == "abc" + "abc" + "bca" + "cab", "one untimed round before"
    assert {name: len(found) for name, found in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_of_the_same_round() -> None:
    seconds = {"own": [2.0, 9.0, 4.0], "other": [1.0, 3.0, 4.0]}
    assert ratios(seconds, "own", "other") == [2.0, 3.0, 1.0]


def test_a_cluster_pays_from_where_two_lines_meet() -> None:
    """One process: 1 s and 10 words a second; Ray: 11 s and 20; too slow a way never pays."""
    ways = {"one": (1, 10), "Ray": (11, 20), "slow": (2, 10)}
    sizes = [
        {
            "sentences": words // 10,
            "words": words,
            "seconds": {
                way: [start + words / rate, 999.0, 0.0] for way, (start, rate) in ways.items()
            },
        }
        for words in (100, 1000)
    ]
    one, ray, slow = cluster.rows({**MADE, "sizes": sizes})
    assert one == ("one", "11.0 s", "101.0 s", "1.0 s", "10", "")
    assert ray == ("Ray", "16.0 s", "61.0 s", "11.0 s", "20", "200 words")
    assert slow[-1] == "never"


@pytest.mark.parametrize(("last", "met"), [([1.4, 1.4, 1.4], "yes"), ([1.5, 1.5, 1.0], "no")])
def test_start_up_is_held_to_its_goals_by_the_median(last: list[float], met: str) -> None:
    result = {
        **MADE,
        "model": "m",
        "spacy": False,
        "seconds": {
            "import hiermtl": [0.2, 0.9, 0.1],
            "bare imports": [1.0, 1.0, 1.0],
            "load and first document": last,
        },
    }
    first, bare, _, over = start_up.rows(result)
    assert first == ("import hiermtl", "0.20", "0.10", "0.90", "0.3", "yes")
    assert bare[-2:] == ("", "")
    assert over[-1] == met
    assert "spaCy is not imported; 3 rounds" in start_up.text(result)
    assert "| import hiermtl | 0.20 |" in start_up.markdown(result)


def test_rejections_are_shares_of_splits() -> None:
    rates = {
        "bootstrap": [0.051, 0.012],
        "randomisation": [0.049, 0.011],
        "percentiles": [0.07, 0.03],
        "documents alone": [0.25, 0.12],
    }
    result = {
        **MADE,
        "splits": 1000,
        "resamples": 300,
        "recipes": 16,
        "spread": {"upos": 0.171},
        "rows": [{"task": "upos", "seeds": 3, "case": "same recipe", "rates": rates}],
    }
    (row,) = significance.rows(result)
    assert row == (
        *("upos", "0.17", "3", "of one recipe", "5.1", "4.9", "7.0", "25.0"),
        *("3.0", "1.2"),
    )
    page = significance.markdown(result)
    assert "1,000 splits a row over 16 recipes, 300 resamples, commit 0123456789" in page
    assert "| upos | 0.17 | 3 | of one recipe | 5.1 |" in page
    assert "of one recipe" in significance.text(result)


def test_pipelines_are_words_a_second_and_ratios_with_their_goals() -> None:
    over = {"other": {"goal": 0.5, "rounds": [0.4, 0.25, 0.3]}}
    variants = [
        {"name": "other", "dtype": "fp32", "seconds": [4.0, 2.0, 3.0], "over": {}},
        {"name": "own", "dtype": "bf16", "seconds": [1.0, 0.5, 2.0], "over": over},
    ]
    result = {**MADE, "variants": variants, "words": 3000, "sentences": 100}
    result |= {"model": "m", "tasks": ["upos"], "components": ["tagger"]}
    assert pipelines.rows(result)[1:] == [
        ("other", "fp32", "3.00", "1,000", "", ""),
        ("own", "bf16", "1.00", "3,000", "0.30 (0.25 to 0.40)", "0.50"),
    ]
    assert "m (upos) against tagger; 100 sentences, 3,000 words; 3 rounds" in pipelines.text(result)


def test_mechanisms_are_held_against_none_of_them() -> None:
    none = {"parameters": 1000, "steps": 10, "training": [1.0, 2.0, 1.0]}
    one = {"parameters": 1500, "steps": 20, "training": [3.0, 4.0, 3.0]}
    none["annotating"], one["annotating"] = [0.5, 0.5, 0.5], [1.0, 1.0, 0.5]
    encoder = {"encoder": "E", "words": 600, "arms": {"none": none, "labels": one}}
    result = {**MADE, "precision": "bf16", "sentences": 40, "encoders": [encoder]}
    assert list(mechanisms.rows(result)) == [
        ("E", "none", "1,000", "100.0", "1.00", "1,200", "1.00"),
        ("E", "labels", "1,500", "150.0", "3.00", "600", "2.00"),
    ]
    assert "bf16, 40 sentences and as many pairs, 3 rounds" in mechanisms.text(result)


def test_a_graphics_processor_is_held_to_the_peak_of_each_round() -> None:
    """3e12 operations in 2, 4 and 1 s, at 3, 3 and 12 TFLOP/s: a half, a quarter, a quarter."""
    result = MADE | {
        "encoder": {"blocks": 12, "width": 768, "weights": 110e6},
        "depths": {"upos": 3, "dep": 12},
        "sentences": 100,
        "words": 2000,
        "tokens_per_batch": 512,
        "peaks": [3e3, 3e3, 12e3],
        "variants": [
            {
                "name": "flat",
                "group": "train",
                "words": 4000,
                "operations": 3e12,
                "seconds": [2.0, 4.0, 1.0],
            }
        ],
    }
    assert gpu.rows(result) == [("train", "flat", "2,000", "25%", "25%", "50%")]
    assert "110 million weights drawn at random, upos at 3, dep at 12" in gpu.facts(result)
    assert gpu.markdown(result).splitlines()[-1].startswith("| train | flat | 2,000")


@pytest.mark.parametrize(("power", "met"), [(0.5, "yes"), (1.0, "yes"), (1.2, "no"), (2.0, "no")])
def test_growth_is_fitted_where_what_is_paid_once_no_longer_counts(power: float, met: str) -> None:
    sizes = [1, 3, 10, 30, 100]
    # Small sizes are far from the curve.
    seconds = [[9.0, 9.0, 9.0] if size < 10 else [0.1, size**power, 1e6] for size in sizes]
    own = {"series": "labels", "about": "tags", "work": "train", "order": 1}
    result = {**MADE, "rounds": 3, "width": 64}
    result["series"] = [{**own, "sizes": sizes, "seconds": seconds}]
    (row,) = growth.rows(result)
    assert row[:5] == ("labels", "tags", "train", "1", "100")
    assert row[6:] == (f"{power:.2f}", "1", met)
    assert growth.text(result).splitlines()[-1].endswith(met)
    assert growth.markdown(result).splitlines()[-1].startswith("| labels | tags | train | 1 | 100")


@pytest.mark.parametrize(("rates", "met"), [([90.0, 80.0, 90.0], "yes"), ([80.0] * 3, "no")])
def test_processes_are_held_to_the_rate_of_one(rates: list[float], met: str) -> None:
    """A checkpoint of 2 s comes with each epoch of 10,000 words."""
    one = [{"rate": 100.0, "checkpoint": 2.0}] * 3
    two = [{"rate": rate, "checkpoint": 2.0} for rate in rates]
    result = {**MADE, "rounds": {"one": one, "two": two}, "epoch_words": 10000}
    result |= {"recipe": "r", "encoder": "e", "examples": 50}
    first, second = processes.rows(result)
    assert first == ("one", "100", "", "", "2.0%", "2%", "yes")
    assert second[-1] == met
    assert second[2].startswith(f"{sorted(rates)[1] / 100:.2f} (")
    assert "r, e, 50 sentences of 10,000 words; 3 rounds" in processes.text(result)


def test_cold_start_is_mean_and_spread_over_draws() -> None:
    rows = [
        {"arm": "frozen", "sentences": 50, "f1": 70.0},
        {"arm": "frozen", "sentences": 50, "f1": 74.0},
        {"arm": "whole", "sentences": 50, "f1": 80.0},
    ]
    result = {"rows": rows, "model": "m", "tasks": ["upos"], "depth": 3, "steps": 9, "seeds": 2}
    lines = cold_start.markdown(result).splitlines()
    assert lines[-2:] == ["| frozen | 72.0 ± 2.8 |", "| whole | 80.0 |"]


def test_speed_gives_shares_of_the_peak_and_ratios_with_goals() -> None:
    variants = [
        {"name": "bare", "seconds": [2.0, 4.0], "words": 300, "operations": 6e9},
        {"name": "own", "seconds": [1.0, 1.0], "words": 300, "operations": 6e9},
    ]
    for variant in variants:
        variant |= {"group": "training", "dtype": "fp32"}
    ratio = {"variant": "own", "reference": "bare", "rounds": [0.5, 0.25], "goal": 0.4}
    result = {
        **MADE,
        "corpus": {"sentences": 10, "words": 300, "train_sentences": 20, "train_words": 600},
        "parameters": {"rounds": 2, "encoder": "E", "model": "M"},
        "peaks": {"fp32": [50.0, 60.0]},
        "variants": variants,
        "ratios": [ratio],
        "shares": {"annotating": {"heads": [0.25, 0.75]}},
        "greedy_trees": None,
    }
    page = speed.markdown(result)
    assert "| bare | 3.000 | 2.000 | 4.000 | 100 | 3% | 1.00 |" in page
    assert "| own | 1.000 | 1.000 | 1.000 | 300 | 10% | 0.38 |" in page
    assert "| own | bare | 0.38 | 0.25 | 0.50 | 0.4 | yes |" in page
    assert "annotating: heads  50.0%  25.0%     75.0%" in speed.text(result)


@pytest.mark.parametrize(
    ("metric", "p", "shown"),
    [
        ("f1", 0.049, "**-1.2** (0.010)"),
        ("f1", 0.05, "-1.2 (0.010)"),
        ("f1", None, "-1.2"),
        ("pearson", 0.001, "**-1.234** (0.010)"),
    ],
)
def test_differences_that_are_sure_are_bold(metric: str, p: float | None, shown: str) -> None:
    about = (None, "arm", "single", 1, "task", metric)
    found = Difference(*about, -1.234, -2.0, -0.5, 0.01, p, 3, 3)
    assert cell(found) == shown


def kept_result(
    folder: Path,
    arm: str,
    seed: int,
    *,
    size: int | None,
    train: bool = False,
    score: float = 80.0,
    tasks: Sequence[str] = ("upos",),
    metric: str = "accuracy",
    data: str = "d",
    learnt: Mapping[str, Any] | None = None,
) -> None:
    def row(split: str, score: float, task: str = "upos") -> ScoreRow:
        return ScoreRow(1, 1, task, metric, score, 50, data, split, "accuracy", "fp32", seed)

    hits = np.tile([[40.0, 50.0]], (3, 1))
    cost = {"steps": 10, "words": 1000, "seconds": 90.0, "parameters": 5000}
    units = {"upos": Units("accuracy", ("hits", "items"), hits)}
    rows = tuple(row("test", score + seed, task) for task in tasks)
    dev = (row("dev", 81.0),)
    changes = {"training.precision": "fp32", "training.lr": 0.004}
    known = (row("train", 93.5),) if train else ()
    told = {} if learnt is None else {"scheme": arm, "structure": {}, "learnt": learnt}
    found = RunResult(
        arm, size, seed, changes, cost, rows, units, dev=dev, train=known, learnt=told
    )
    found.write(folder / f"{arm}-{size}-{seed}.json")


@pytest.mark.parametrize(
    ("size", "head"), [(1000, "1,000 texts, test: mean"), (None, "All texts, test: mean")]
)
def test_a_grid_is_told_with_the_arms_that_have_no_result(
    tmp_path: Path, size: int | None, head: str
) -> None:
    file = tmp_path / "levels.yaml"
    file.write_text("arms: {single: quickstart, low: quickstart, later: quickstart}\n")
    experiment = Experiment(file, ("single", "hard"), "texts")
    assert not experiment.markdown(), "there is no result yet"
    results = tmp_path / "levels" / "results"
    results.mkdir(parents=True)
    for arm in ("single", "low"):
        for seed in (0, 1):
            kept_result(results, arm, seed, size=size, train=arm == "low")
    lines = experiment.markdown().splitlines()
    assert lines[0].startswith(head)
    assert "| `later` | – | – |" in lines
    assert "| `low` | 2 | 80.5 ± 0.7 |" in lines
    assert lines[lines.index("Less `single`, with p:") + 4 :][:2] == [
        "| `low` | +0.0 |",
        "| `later` | – |",
    ]
    assert not any("Less `hard`" in line for line in lines)
    gaps = lines[lines.index("What was trained on, scored as dev is, less dev:") + 4 :][:3]
    assert gaps == ["| `single` | – |", "| `low` | +12.5 |", "| `later` | – |"]
    assert "| `low` | 10 | 1,000 | 1.5 | 5,000 | fp32, 0.004 |" in lines
    assert "| `later` | – | – | – | – | – |" in lines


def test_a_trial_is_told_by_what_it_took_from_each_arm(tmp_path: Path) -> None:
    """Noise takes 10 from `hard` and 4 from `low`."""
    grid, beside = tmp_path / "trials.yaml", tmp_path / "levels.yaml"
    names = [f"{arm}_{trial}" for trial in ("noise", "more") for arm in ("hard", "low", "later")]
    grid.write_text("".join(["arms:\n", *(f"  {name}: quickstart\n" for name in names)]))
    beside.write_text("arms: {hard: quickstart, low: quickstart}\n")
    told = {"noise": "With noise", "more": "With more"}
    trials = Trials(grid, Experiment(beside, ()), told)
    assert not trials.markdown(), "there is no result yet"
    scores = {"hard": 80.0, "low": 81.0}
    for name, given in (
        ("levels", scores),
        ("trials", {"hard_noise": 70.0, "low_noise": 77.0, "low_more": 84.0}),
    ):
        (tmp_path / name / "results").mkdir(parents=True)
        for arm, score in given.items():
            for seed in (0, 1):
                kept_result(tmp_path / name / "results", arm, seed, size=9, score=score)
    lines = trials.markdown().splitlines()
    noise, more = (lines.index(said) for said in ("With noise:", "With more:"))
    assert "| `later_noise` | – | – |" in lines[noise:more]
    taken = lines.index("Less the same arm without, with p:")
    assert noise < taken < more
    assert lines[taken + 4 : taken + 7] == [
        "| `hard_noise` | -10.0 |",
        "| `low_noise` | -4.0 |",
        "| `later_noise` | – |",
    ]
    assert "| `low_noise` | +7.0 |" in lines[taken + 7 : more]
    assert "| `low_more` | +3.0 |" in lines[more:]
    assert not any("Less `hard_more`" in line for line in lines), "it has no result"


def test_exits_have_what_they_save_in_blocks_and_in_time() -> None:
    """A loss at which nobody may leave for a task, or for any, saves nothing."""
    task = {"task": "ner", "depth": 5, "metric": "f1", "score": 60.0}
    few = {**task, "score_with": 59.5, "saved": 20.0}
    blocks = [{"depth": 1, "whole": 600, "left": 600}, {"depth": 2, "whole": 400, "left": 150}]
    result = {
        **MADE,
        "precision": "bf16",
        "sentences": 1000,
        "words": 2000,
        "settings": {
            "0": {"tasks": [], "blocks": []},
            "0.5": {"tasks": [few], "blocks": blocks},
        },
        "seconds": {"ner": {"whole": [2.0, 4.0, 2.0], "0.5": [1.0, 3.0, 1.0]}},
    }
    assert list(exits.saved_rows(result)) == [
        ("ner", "5", "f1", "60.00", "60.00, saves nothing", "59.50, saves 20.0 %"),
        (
            "all together: pieces that blocks read",
            *("", "", "1,000", "1,000, saves nothing", "750, saves 25.0 %"),
        ),
    ]
    assert list(exits.time_rows(result)) == [("ner", "1000.0", "–", "0.50")]
    assert "1,000 sentences of 2,000 words, 3 rounds" in exits.markdown(result)
    assert exits.text(result).endswith("3 rounds\n")
    none = {**result, "settings": {"0": {"tasks": [], "blocks": []}}}
    none["seconds"] = {"all": {"whole": [2.0]}}
    assert list(exits.saved_rows(none)) == []
    assert "1 rounds" in exits.markdown(none)


def test_upper_levels_stand_beside_rules_and_what_they_need(tmp_path: Path) -> None:
    """A fifth of what the best rule misses is needed: 60 of 100 ask for 68."""
    grid, rules = tmp_path / "scores.yaml", tmp_path / "rules.json"
    grid.write_text("arms: {mention: quickstart, hmtl: quickstart}\n")
    told = [("", "gum", 60.0), ("", "gum", 50.0), ("gold mentions", "gum", 90.0), ("", "x", 80.0)]
    rules.write_text(
        json.dumps(
            {
                "rules": [
                    {"task": "mention", "data": data, "told": how, "scores": {"f1": score}}
                    for how, data, score in told
                ]
            }
        )
    )
    table = LevelScores(grid, rules)
    assert not table.markdown(), "there is no result yet"
    (tmp_path / "scores" / "results").mkdir(parents=True)
    for arm, seeds, data in (
        ("mention", (0, 1), "gum"),
        ("hmtl", (0,), "gum"),
        ("ladder", (0,), "x"),
    ):
        for seed in seeds:
            kept_result(
                tmp_path / "scores" / "results",
                arm,
                seed,
                size=None,
                tasks=("mention",),
                metric="f1",
                data=data,
            )
    text = table.markdown()
    assert text.startswith("Test, mean and deviation over seeds 0, 1; fp32:")
    row = next(line for line in text.splitlines() if line.startswith("| mention"))
    assert row == "| mention | gum | f1 | accuracy | 60.0 | 68.0 | 80.5 ± 0.7 | – | 80.0 | – | 72 |"
    folder = tmp_path / "scores" / "results"
    told = {"size": None, "tasks": ("srl",), "metric": "f1"}
    kept_result(folder, "roles", 0, data="propbank", **told)
    kept_result(folder, "ladder", 2, data="ewt", **told)  # joined to a treebank
    row = next(line for line in table.markdown().splitlines() if line.startswith("| srl"))
    assert row == "| srl | propbank | f1 | accuracy | – | – | 80.0 | – | – | 82.0 |  |"


def test_an_optimizer_as_it_comes_is_not_the_fused_one() -> None:
    """Groups that were made for the fused one would make the next one fused too."""
    world = make_world("bert", depths={"upos": 1})
    fused = loop.make_optimizer(world.model, Settings())
    assert all(group["fused"] for group in fused.param_groups)
    with _optimizer_as_it_comes():
        plain = loop.make_optimizer(world.model, Settings())
    assert not any(group["fused"] for group in plain.param_groups)
    for own, other in zip(plain.param_groups, fused.param_groups, strict=True):
        assert [own[n] for n in ("lr", "weight_decay", PEAK)] == [
            other[n] for n in ("lr", "weight_decay", PEAK)
        ]


def test_graphs_are_told_by_their_best_round() -> None:
    fp32, int8 = graphs.GRAPH, graphs.SMALL
    machine = {**MADE["machine"], "versions": {"torch": "9.1", "onnxruntime": "6.4"}}
    result = {
        **MADE,
        "machine": machine,
        "model": "m",
        "data": "dev.conllu",
        "sentences": 2,
        "words": 6000,
        "sizes": {fp32: 82_198_536, int8: 22_397_910},
        "scores": [{"task": "dep", "metric": "las", fp32: 88.806, int8: 88.284}],
        "long": 1,
        "seconds": {graphs.TORCH: [3.0, 2.0], fp32: [1.0, 1.5], int8: [0.5, 0.9]},
    }
    assert graphs.rows(result) == [
        ("file, MB", "", "82.2", "22.4"),
        ("words a second", "3,000", "6,000", "12,000"),
        ("dep, las on dev", "", "88.81", "88.28"),
    ]
    assert "ONNX Runtime 6.4; model m; speed: 2 sentences of dev.conllu" in graphs.text(result)
    assert "best of 2 rounds; scores: 1 sentences were longer" in graphs.facts(result)
    assert "| dep, las on dev |  | 88.81 | 88.28 |" in graphs.markdown(result)


def test_what_was_learnt_is_told_of_tasks_and_of_pairs(tmp_path: Path) -> None:
    """By hand: dep takes 0.6 of itself and -0.2 of upos, upos 0.9 and 0.1 of dep."""
    grid, results = tmp_path / "levels.yaml", tmp_path / "levels" / "results"
    results.mkdir(parents=True)
    sharings = Sharings(Experiment(grid, ()))
    assert not sharings.markdown(), "there is no result yet"
    alpha = {"2": {"streams": ["upos", "dep"], "values": [[0.9, 0.1], [-0.2, 0.6]]}}
    trees = [[["upos"], ["dep"]], [["upos", "dep"]]]
    for seed, groups in enumerate(trees):
        tree = {"0": [["upos", "dep"]], "10": groups}
        given = {
            "cross_stitch": {"alpha": alpha},
            "learned": {
                "centres": {"upos": 1.0 + seed, "dep": 2.5},
                "depths": {"upos": 1, "dep": 3},
            },
            "adaptive": {
                "tasks": ["dep", "upos"],
                "affinities": [[1, 0.5], [0.5, 1]],
                "tree": tree,
            },
        }
        for arm, learnt in given.items():
            kept_result(results, arm, seed, size=9, tasks=("upos", "dep"), learnt=learnt)
    kept_result(results, "learned", 0, size=18, tasks=("upos", "dep"), learnt={"centres": {}})
    lines = sharings.markdown().splitlines()
    assert lines[0] == "| learnt | upos | dep |"
    assert "| `learned`: centre of gravity, blocks | 1.50 ± 0.71 | 2.50 ± 0.00 |" in lines
    assert "| `cross_stitch`: part of its own stream | 0.90 ± 0.00 | 0.75 ± 0.00 |" in lines
    pairs = lines[lines.index("| learnt | upos, dep |") :]
    assert "| `adaptive`: affinity | 0.50 ± 0.00 |" in pairs
    assert "| `adaptive`: share of runs with both on one copy at the top | 0.50 ± 0.71 |" in pairs
    # (0.1 / 1.0 + 0.2 / 0.8) / 2
    assert "| `cross_stitch`: part of each other | 0.17 ± 0.00 |" in pairs


def test_parts_of_streams_are_added_up_by_task(tmp_path: Path) -> None:
    """Two parts each: of all that upos takes dep has (0.1 + 0.3 + 0.2 + 0.0) / 2.6."""
    results = tmp_path / "levels" / "results"
    results.mkdir(parents=True)
    values = [[1, 0, 0.1, 0.3], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    learnt = {
        "subspaces": 2,
        "alpha": {"1": {"streams": ["upos", "dep"], "values": values}},
        "beta": {"upos": [0.5, 0.5], "dep": [0.0, -2.0]},
    }
    kept_result(results, "sluice", 0, size=9, tasks=("upos", "dep"), learnt=learnt)
    lines = Sharings(Experiment(tmp_path / "levels.yaml", ())).markdown().splitlines()
    assert "| `sluice`: part of its own stream | 0.77 | 1.00 |" in lines
    assert "| `sluice`: centre of what its head reads | 1.50 | 2.00 |" in lines
    assert "| `sluice`: part of each other | 0.12 |" in lines


def test_channels_are_averaged_and_tasks_that_were_never_compared_are_left_open(
    tmp_path: Path,
) -> None:
    results = tmp_path / "levels" / "results"
    results.mkdir(parents=True)
    tasks, streams = ("upos", "dep"), ["upos", "dep"]
    mean = {"mean": [[0.6, 0.4], [0.0, 1.0]], "spread": [[0.1, 0.1], [0.1, 0.1]]}
    each = [[[0.9, 0.3], [0.5, 0.3]], [[0.0, 0.0], [1.0, 1.0]]]
    given = {
        "cross_stitch": [
            {"alpha": {"1": {"streams": streams, "values": mean}}},
            {"alpha": {"1": {"streams": streams, "values": each}}},
        ],
        "adaptive": [
            {
                "tasks": list(tasks),
                "affinities": [[1.0, float("nan")], [float("nan"), 1.0]],
                "tree": {"1": [["upos"], ["dep"]]},
            }
        ],
    }
    for arm, every in given.items():
        for seed, learnt in enumerate(every):
            kept_result(results, arm, seed, size=9, tasks=tasks, learnt=learnt)
    lines = Sharings(Experiment(tmp_path / "levels.yaml", ())).markdown().splitlines()
    # 0.6 / 1.0 of both runs
    assert "| `cross_stitch`: part of its own stream | 0.60 ± 0.00 | 1.00 ± 0.00 |" in lines
    assert "| `adaptive`: affinity | – |" in lines
