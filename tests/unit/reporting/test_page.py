"""Pages hold together, escape what users wrote, fetch nothing, and say what is missing."""

import re
from pathlib import Path
from typing import Any

import pytest

from hiermtl.evaluation.compare import Comparison, Difference, Mean, MeanCost
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.probing.results import Curve, ProbeReport
from hiermtl.reporting import Facts, gather, judges, page
from hiermtl.reporting.curves import Log, Series
from hiermtl.reporting.mistakes import Mistakes
from hiermtl.text.sentence import Passage, Sentence
from tests.unit.reporting.pages import SECTIONS, Page, facts, material, row

HOSTILE = "</td></svg><script src=//x.test/a.js>alert(1)</script>\"'&<img src=x onerror=y>"


def mistakes(label: str = "A", word: str = "w", task: str = "upos") -> list[Mistakes]:
    """Of a task of tags, one of labels of texts and one of numbers."""
    heads = {
        task: HeadInfo("tagging", "tags", (label, "B")),
        f"{task} topic": HeadInfo("text", "label", (label, "B"), unit="text"),
        f"{task} near": HeadInfo("pair", "number", (), unit="pair"),
    }
    tags, topic, near = judges(heads, data=word).values()
    tags.sentence(Sentence((word, word), sent_id=word), (label, "B"), ("B", "B"))
    passage = Passage((Sentence((word,)), Sentence((word,))), pair=True, passage_id=word)
    topic.passage(passage, label, "B", sure=0.9)
    near.passage(passage, 1.0, 2.5, sure=None)
    near.passage(passage, 2.0, 2.5, sure=None)
    return [judge.found for judge in (tags, topic, near)]


def comparison(arm: str = "low", control: str = "single") -> Comparison:
    return Comparison(
        split="dev",
        test="bootstrap",
        means=tuple(
            Mean(
                *(None, name, 1, "upos", "accuracy", 90.0, 1.0, 3),
                *("d", "accuracy", "fp32", (0, 1, 2)),
            )
            for name in (arm, control)
        ),
        differences=(
            Difference(None, arm, control, 1, "upos", "accuracy", 1.5, 0.5, 2.5, 0.01, 0.02, 3, 3),
            Difference(None, arm, control, 2, "dep", "las", -1.0, None, None, None, None, 2, 2),
        ),
        costs=(MeanCost(None, arm, 10.0, 100.0, 60.0, 1000.0),),
        changes={},
        notes=(f"{arm}: a note",),
    )


def log(task: str = "upos") -> Log:
    points = [(1.0, 50.0), (2.0, 60.0)]
    return Log(
        [Series(task, "accuracy", points)], [Series(task, "loss", points)], {task: 2}, last=2
    )


def whole(name: str = "upos", label: str = "A", word: str = "w") -> str:
    """A page with something in every section."""
    told = facts(
        recipe={
            "name": name,
            "description": label,
            "encoder": {"name": word},
            "corpora": {word: {"format": label, "licence": name, "note": word}},
            word: label,
        },
        config={
            "encoder": {"layers": 2},
            "tasks": {name: {"depth": 1, "head": label, "labels": [label]}},
            "sharing": {"name": word},
        },
        rows={"dev": (row(name, data=word), row(name, metric="f1", data=word))},
        log=log(name),
        probe=[{"task": name, "depth": depth, "score": depth, "spread": 1} for depth in (0, 1, 2)],
        probed=[{"task": name, "metric": label, "proposed": 1, "items": word}],
        probe_said=[word],
        environment=[{word: label, label: {name: word}}],
        notes=[word],
    )
    return page(
        material(
            told,
            described={"scheme": label, "learnt": {word: label}, "structure": {}},
            mistakes=mistakes(label, word, name),
            comparison=comparison(name, word),
            changed={name: (label, word)},
            here={label: word},
            notes=[label],
            why={"drawn": word},
        )
    )


def test_a_page_has_every_section_and_its_tags_match() -> None:
    found = Page(whole())
    assert found.problems == []
    assert found.anchors == list(SECTIONS)
    links = [of["href"] for name, of in found.elements if name == "a"]
    assert links == [f"#{section}" for section in SECTIONS]


def test_the_parser_of_these_tests_sees_tags_that_do_not_match() -> None:
    assert Page("<p><b></p>").problems
    assert Page("<p>").problems
    assert Page('<img src="//x">').resources() == ["//x"]


def test_a_page_fetches_nothing_and_runs_nothing() -> None:
    text = whole()
    found = Page(text)
    assert found.resources() == []
    assert found.names() & {"script", "link", "img", "iframe", "object", "base", "form"} == set()
    assert "url(" not in text
    assert "@import" not in text
    handlers = [key for _, of in found.elements for key in of if key.startswith("on")]
    assert handlers == []


@pytest.mark.parametrize("where", ["name", "label", "word"])
def test_what_users_wrote_is_shown_and_is_no_markup(where: str) -> None:
    plain, hostile = Page(whole()), Page(whole(**{where: HOSTILE}))
    assert hostile.problems == []
    assert hostile.names() == plain.names()
    assert hostile.resources() == []
    assert len(hostile.elements) == len(plain.elements)
    assert hostile.anchors == plain.anchors
    assert HOSTILE in hostile.text or HOSTILE[:20] in hostile.text


def test_a_page_without_anything_says_so_in_every_section() -> None:
    found = Page(page(material(Facts("run", "runs/run", finished=False))))
    assert found.problems == []
    assert found.anchors == list(SECTIONS)
    for said in (
        "Unfinished: there is no model in the folder.",
        "It has no log",
        "The folder does not say which tasks there are.",
        "There is no log of training in the folder.",
        "The folder holds no scores.",
        "No probes were made of this model",
        "The folder does not say by which recipe the model was trained.",
        "The folder does not say where the model was trained.",
    ):
        assert said in found.text


def test_all_that_probes_say_is_on_the_page(tmp_path: Path) -> None:
    curve = Curve(
        "upos",
        "accuracy",
        ((60.0, 62.0), (89.0, 91.0), (90.5, 91.5)),
        baseline=20.0,
        chance=0.5,
        train_items=1000,
        items=1234,
        mixes=((61.0,), (91.0,), (92.0,)),
        centres=(1.25, 1.75),
        control=((70.0,), (60.5,), (50.0,)),
        variability=(3.0, 1.5, 1.25),
    )
    short = Curve("relatedness", "pearson", ((0.1,), (0.5,), (0.4,)), 0.0, 0.05, 90, 45)
    report = ProbeReport((curve, short), {"upos": 2}, "of states of a test", ("a note on probes",))
    (tmp_path / "probe.json").write_text(report.to_json(), encoding="utf-8")
    text = Page(page(material(gather(tmp_path)))).text
    assert "proposed depth best depth centre of gravity expected layer baseline items" in text
    assert "upos 2 2 1.50 ± 0.35 1.03 20.00 1,234" in text
    assert "relatedness - 1 - - 0.0000 45" in text
    assert "upos accuracy 61.00 ± 1.41 90.00 ± 1.41 91.00 ± 0.71" in text
    assert "control 70.00 60.50 50.00" in text
    assert "variability 3 1.5 1.25" in text
    assert "relatedness pearson 0.1000 0.5000 0.4000" in text
    assert "of states of a test" in text
    assert "a note on probes" in text


@pytest.mark.parametrize(
    ("changes", "says", "silent"),
    [
        ({}, "The run is at work, or was broken off", "Failed"),
        (
            {"failure": {"message": "lower <training.lr>", "when": "today", "interrupted": False}},
            "Failed on today: there is no model yet. lower <training.lr>",
            "To go on",
        ),
        (
            {"failure": {"message": "It was asked to end.", "interrupted": True}},
            "Interrupted: there is no model yet. It was asked to end.",
            "Failed",
        ),
        ({"log": log(), "checkpoints": ["step-2"]}, "newest checkpoint is step-2", "no log"),
        ({"apart": {"upos": True, "dep": False}}, "done are upos", "dep."),
    ],
)
def test_a_run_that_is_not_finished_says_how_far_it_came(
    changes: dict[str, Any], says: str, silent: str
) -> None:
    found = Page(page(material(facts(finished=False, **changes))))
    status = found.text[: found.text.index("Learning curves")]
    assert says in status
    assert silent not in status


def test_scores_are_shown_with_all_that_they_depend_on() -> None:
    found = Page(page(material(facts(rows={"test": (row(split="test", seed=7, dtype="bf16"),)}))))
    for said in ("Split test", "Data own; dtype bf16; seed 7.", "90.00"):
        assert said in found.text
    assert "--split test" not in found.text


def test_commands_that_are_named_work_from_where_the_report_was_asked_for() -> None:
    done = Page(page(material(facts(asked="runs/my run"))))
    assert "hiermtl evaluate 'runs/my run' --split test" in done.text
    open_ = Page(page(material(facts(finished=False))))
    assert "To go on: the command that began it, with --resume" in open_.text
    assert "hiermtl train" not in open_.text


def test_shades_of_confusion_are_shares_of_gold() -> None:
    text = whole()
    shares = [float(share) for share in re.findall(r"--share:([\d.]+)", text)]
    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_terms_on_weights_have_pictures_where_there_are_any() -> None:
    known = log()
    known.penalties = [Series("l2", "penalty", [(1, 0.5)])]
    title = "Terms on weights in training"
    assert title in Page(page(material(facts(log=known)))).text
    assert title not in Page(page(material(facts(log=log())))).text
