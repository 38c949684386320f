"""The harness around peers: answers, failures, goals and tables. No peer is run."""

import copy
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import pytest

from benchmarks.peers import environments, report, subjects
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.corpus import TASKS, score
from benchmarks.peers.environments import REQUIREMENTS, environment
from benchmarks.peers.goals import Goal, goals, speedups
from benchmarks.peers.measure import Run, Turns, fitting, new_row
from benchmarks.peers.picture import bars, picture
from benchmarks.peers.process import Process, SubjectError
from benchmarks.peers.subjects import (
    BARE,
    DRIVERS,
    LOOP,
    OWN,
    PEER,
    About,
    Peer,
    Subject,
    seconds_in,
)
from hiermtl.pictures import can_draw, svg
from hiermtl.pretrained.encoders import MINILM

SERVE = """
import sys
sys.path.insert(0, {drivers!r})
import serve
import json
class Echo:
    versions = ()
    def __init__(self, **given): self.given = given
    def train(self, tasks, seed):
        print("noise of the library")
        if seed == 1: raise ValueError("no such seed")
        return {{"seconds": 1.5, "given": self.given}}
    def quit(self): sys.exit("the library gave up")
driver = Echo(threads=2)
serve.serve(lambda **given: driver)
"""


def started(tmp_path: Path, code: str) -> Process:
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(code), encoding="utf-8")
    return Process([sys.executable, script], log=tmp_path / "log.txt", variables={})


@pytest.fixture
def echo(tmp_path: Path) -> Any:
    """A driver that holds a peer of a few lines, by the loop that all drivers have."""
    prefix = "import types, sys; sys.modules['torch'] = types.SimpleNamespace("
    prefix += "set_num_threads=print)\n"
    prefix += "import importlib.metadata as m; m.version = lambda name: '9'\n"
    process = started(tmp_path, prefix + SERVE.format(drivers=str(DRIVERS)))
    yield process
    process.close()


def test_a_driver_answers_and_what_its_library_prints_goes_to_the_log(
    echo: Process, tmp_path: Path
) -> None:
    answer = echo.ask("start", seconds=60, threads=2)
    assert answer["versions"] == {"torch": "9", "transformers": "9"}
    answer = echo.ask("train", seconds=60, tasks=["upos"], seed=0)
    assert answer["seconds"] == 1.5
    assert answer["memory"] > 1e6
    echo.close()
    assert "noise of the library" in (tmp_path / "log.txt").read_text()


def test_an_error_of_a_peer_is_told_and_it_goes_on(echo: Process) -> None:
    echo.ask("start", seconds=60, threads=2)
    with pytest.raises(SubjectError, match=r"^train: ValueError: no such seed$"):
        echo.ask("train", seconds=60, tasks=[], seed=1)
    assert echo.ask("train", seconds=60, tasks=[], seed=0)["seconds"] == 1.5


def test_a_peer_that_dies_says_what_it_said_last(echo: Process) -> None:
    echo.ask("start", seconds=60, threads=2)
    with pytest.raises(SubjectError, match=r"ended with code 1 at 'quit': the library gave up"):
        echo.ask("quit", seconds=60)
    with pytest.raises(SubjectError, match=r"ended with code 1 at 'quit'"):
        echo.ask("train", seconds=60, tasks=[], seed=0)


@pytest.mark.parametrize("said", ["no JSON at all", "[1, 2]", '"seconds"'])
def test_nonsense_is_told(tmp_path: Path, said: str) -> None:
    process = started(tmp_path, f"input(); print({said!r}, flush=True); input()")
    with pytest.raises(SubjectError, match="answered 'train' with no JSON object"):
        process.ask("train", seconds=60)


def test_a_peer_that_hangs_is_ended(tmp_path: Path) -> None:
    process = started(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(SubjectError, match="did not answer 'train' in time"):
        process.ask("train", seconds=0.2)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="does not start: "):
        Process([tmp_path / "none"], log=tmp_path / "log.txt", variables={})


@pytest.mark.parametrize("said", [{}, {"seconds": "3"}, {"seconds": -1.0}, {"seconds": 0}])
def test_seconds_that_are_no_time_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(SubjectError, match="says that the work took"):
        seconds_in(said)
    assert seconds_in({"seconds": 2}) == 2.0


def test_what_cannot_be_installed_says_what_pip_said_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def fail(command: list[Any], *, stdout: TextIO, **_: Any) -> None:
        stdout.write("Collecting\nERROR: No matching distribution\nnotice of a release\n")
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environments.venv, "create", lambda place, **_: tried.append(place))
    monkeypatch.setattr(environments.subprocess, "run", fail)
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("nothing==1\n", encoding="utf-8")
    for count in (1, 2):
        with pytest.raises(SubjectError, match=r"^cannot be installed: ERROR: No matching dist"):
            environment("peer", tmp_path / "made", wanted)
        assert len(tried) == count


def test_an_environment_is_made_once_and_again_when_pins_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(environments.venv, "create", lambda place, **_: made.append(place))
    ran: list[list[Any]] = []

    def run(command: list[Any], **_: Any) -> None:
        ran.append(command)
        made[-1].mkdir(parents=True)

    monkeypatch.setattr(environments.subprocess, "run", run)
    wanted = tmp_path / "wanted.txt"
    for pins in ("one==1\n", "one==1\n", "one==2\n"):
        wanted.write_text(pins, encoding="utf-8")
        assert environment("peer", tmp_path, wanted) == tmp_path / "peer" / "bin" / "python"
    assert len(made) == 2
    assert ran[0][1:] == ["-m", "pip", "install", "-r", wanted]


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_driver_and_pins_of_all_it_needs(name: str) -> None:
    assert (DRIVERS / f"drive_{name}.py").exists()
    lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"torch", "transformers"} <= set(pins)
    assert set(PEERS[name].tasks) <= set(TASKS)


GOLD = [
    {
        "upos": ["DET", "NOUN"],
        "xpos": ["DT", "NN"],
        "ner": ["O", "B-PER"],
        "dep": [[2, 0], ["det", "root"]],
    }
]


def test_all_are_scored_by_our_scorers() -> None:
    predicted = {"upos": [["DET", "VERB"]], "ner": [["O", "B-PER"]]}
    predicted["dep"] = [[[2, 0], ["amod", "root"]]]
    found = score(GOLD, predicted)
    assert found == {
        "upos": {"accuracy": 50.0},
        "ner": {"f1": 100.0},
        "dep": {"las": 50.0, "uas": 100.0},
    }


@pytest.mark.parametrize(
    "predicted",
    [{"upos": [["DET"]]}, {"upos": []}, {"dep": [[[2], ["det"]]]}, {"ner": [["O", "nonsense"]]}],
)
def test_predictions_of_another_shape_cannot_be_scored(predicted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"predictions of .* cannot be scored"):
        score(GOLD, predicted)


def test_a_subject_that_fails_is_a_row_and_the_others_go_on() -> None:
    said: list[str] = []
    turns = Turns(said.append)
    ran: list[str] = []

    def runs(name: str, failing: int | None = None) -> Callable[[dict[str, Any]], float]:
        def run(row: dict[str, Any]) -> float:
            ran.append(name)
            if len(row["seconds"]) == failing:
                raise SubjectError("ended with code -9")
            return 1.0

        return run

    def refuse(_: object) -> None:
        raise SubjectError("cannot be trained")

    turns.enter(new_row("a", OWN, ["upos"], 10), runs("a"))
    turns.enter(new_row("b", PEER, ["upos"], 10), runs("b", failing=1))
    turns.enter(new_row("c", PEER, ["upos"], 10), runs("c"), prepare=refuse)
    first, second, third = turns.take(3, between=lambda: None)
    assert "".join(ran) == "ab" + "ba" + "a"
    assert (first["seconds"], first["failed"]) == ([1.0] * 3, None)
    assert second["failed"] == "ended with code -9"
    assert third["failed"] == "cannot be trained"
    assert "b: ended with code -9" in said


def row(subject: str, kind: str, tasks: str, seconds: list[float], **more: Any) -> dict[str, Any]:
    made = new_row(subject, kind, tasks.split(), 1000) | {"seconds": seconds, **more}
    return made | {"failed": "ended" if not seconds else None}


FOUR = "upos xpos ner dep"
SORTED, FILED = "loop by hand, sorted by length, bf16", "loop by hand, file order, fp32"


def works() -> dict[str, list[dict[str, Any]]]:
    """Three rounds, of which the middle one was slow for everyone."""
    runs = [
        {
            "seed": seed,
            "seconds": 80.0,
            "budget": 88.0,
            "scores": {"upos": {"accuracy": 93.0 + seed}, "dep": {"las": 70.0, "uas": 75.0}},
        }
        for seed in range(3)
    ]
    own = row("hiermtl", OWN, "upos dep", [0.0]) | {"runs": runs, "epochs": 8}
    return {
        "annotate": [
            row("bare encoder, flat, bf16", BARE, FOUR, [1.0, 4.0, 1.0], operations=5e11),
            row("hiermtl", OWN, FOUR, [1.1, 4.4, 1.3]),
            row("hiermtl", OWN, "upos xpos", [1.0, 4.0, 1.0]),
            row(FILED, LOOP, FOUR, [22.0, 110.0, 26.0]),
            row(SORTED, LOOP, FOUR, [3.3, 13.2, 3.9]),
            row("slow", PEER, FOUR, [11.0, 44.0, 13.0]),
            row("fast", PEER, "xpos upos", [6.0, 24.0, 7.0]),
            row("dead", PEER, FOUR, []),
        ],
        "accuracy": [own | {"reference": "HanLP"}],
    }


def by_what(found: list[Goal], part: str) -> Goal:
    (goal,) = [goal for goal in found if part in goal.what]
    return goal


def test_goals_are_medians_of_ratios_of_one_round() -> None:
    found = goals(works(), precision="bf16")
    bare = by_what(found, "bare encoder")
    assert (bare.value, bare.least, bare.greatest) == pytest.approx((1.1, 1.1, 1.3))
    assert bare.met
    assert by_what(found, "sorted").value == pytest.approx(3.0)
    assert by_what(found, "sorted").met is False
    assert by_what(found, "file order").value == pytest.approx(20.0)
    assert by_what(found, "file order").met
    halved = by_what(goals(works(), precision="fp32"), "file order")
    assert halved.goal == 8.0, "without bf16 arithmetic less is asked for"


def test_the_fastest_peer_is_the_one_that_is_gained_on_least_and_on_its_own_tasks() -> None:
    found = by_what(goals(works(), precision="bf16"), "fastest peer")
    assert found.value == pytest.approx(6.0), "not 10, which slow has"
    assert found.held == "fast (xpos, upos); not measured: dead"
    none = works()
    none["annotate"] = none["annotate"][:5]
    missing = by_what(goals(none, precision="bf16"), "fastest peer")
    assert (missing.value, missing.met, missing.held) == (None, None, "no peer was measured")


def test_a_peer_without_a_row_of_ours_with_its_tasks_has_no_ratio() -> None:
    rows = works()["annotate"]
    assert speedups(rows, row("odd", PEER, "ner", [1.0, 1.0, 1.0])) is None
    assert speedups(rows, rows[-1]) is None, "it died"


def test_scores_are_means_over_seeds_and_more_time_reaches_nothing() -> None:
    given = works()
    upos = by_what(goals(given, precision="bf16"), "upos")
    assert (upos.value, upos.least, upos.greatest, upos.met) == (94.0, 93.0, 95.0, True)
    las = by_what(goals(given, precision="bf16"), "dep las")
    assert (las.value, las.met) == (70.0, False)
    late = copy.deepcopy(given)
    for run in late["accuracy"][0]["runs"]:
        run["seconds"] = 90.0
    assert by_what(goals(late, precision="bf16"), "upos").met is False
    given["accuracy"][0]["runs"] = []
    assert by_what(goals(given, precision="bf16"), "upos").met is None


def test_epochs_fit_into_the_time_and_one_is_always_run() -> None:
    assert fitting(10.0, 88.0) == 8
    assert fitting(11.0, 88.0) == 7, "8 would fill all of it"
    assert fitting(500.0, 88.0) == 1


class Steady(Subject):
    """A subject of which an epoch always takes as long, and which predicts what is right."""

    def __init__(self, about: About, epoch: float) -> None:
        super().__init__(about)
        self.epoch, self.trained = epoch, []

    def start(self) -> None:
        if self.epoch < 0:
            raise SubjectError("no wheel")

    def briefly(self, tasks: Any, count: int) -> None:
        del tasks, count

    def train(self, tasks: Any, *, count: int, epochs: int, seed: int) -> float:
        del tasks, count
        self.trained.append((seed, epochs))
        return self.epoch * epochs

    def annotate(self, tasks: Any, *, predictions: bool) -> Any:
        return self.epoch, {task: [GOLD[0][task]] for task in tasks} if predictions else None

    def close(self) -> None:
        pass


def run_of(epochs: dict[str, float], **options: Any) -> tuple[Run, dict[str, Steady]]:
    """A run of hiermtl and of peers whose epochs take so many seconds; a negative one is broken."""
    own = About(
        **{**asdict(PEERS["hanlp"]), "name": "hiermtl", "kind": OWN},
    )
    everyone = {name: Steady(PEERS.get(name, own), seconds) for name, seconds in epochs.items()}
    run = object.__new__(Run)
    run.options = SimpleNamespace(
        **{"accuracy_sentences": 5, "seeds": 2, "budget": None, "rounds": 1, **options}
    )
    run.corpus = SimpleNamespace(train=[], dev=[])
    run.say, run.gold, run.failed = (lambda _: None), GOLD, {}
    run.everyone = list(everyone.values())
    run.peers = {name: one for name, one in everyone.items() if name in PEERS}
    return run.__enter__(), everyone


def test_everyone_gets_the_time_of_the_references_epoch() -> None:
    run, everyone = run_of({"hiermtl": 10.0, "hanlp": 70.0, "stanza": 90.0})
    rows = {row["subject"]: row for row in run.accuracy()}
    assert everyone["hiermtl"].trained == [(0, 1), (0, 6), (1, 6)], "the first says how many fit"
    assert everyone["hanlp"].trained == everyone["stanza"].trained == [(0, 1), (1, 1)]
    own = rows["hiermtl"]
    assert (own["epochs"], own["reference"], len(own["runs"])) == (6, "HanLP", 2)
    assert own["runs"][0] | {"scores": {}} == {
        "seed": 0,
        "seconds": 60.0,
        "budget": 70.0,
        "scores": {},
    }
    assert own["runs"][0]["scores"]["dep"] == {"las": 100.0, "uas": 100.0}
    assert rows["Stanza"]["runs"][0]["seconds"] == 90.0, "over the time, as the table shows"


def test_without_the_reference_the_time_must_be_given() -> None:
    run, everyone = run_of({"hiermtl": 10.0, "hanlp": -1.0})
    rows = {row["subject"]: row for row in run.accuracy()}
    assert rows["HanLP"]["failed"] == "no wheel"
    assert rows["hiermtl"]["failed"] == "HanLP gave no time; give --budget"
    assert everyone["hiermtl"].trained == []
    run, everyone = run_of({"hiermtl": 10.0, "hanlp": -1.0}, budget=25.0)
    rows = {row["subject"]: row for row in run.accuracy()}
    assert (rows["hiermtl"]["epochs"], rows["hiermtl"]["reference"]) == (2, "given")


def result() -> dict[str, Any]:
    found = works()
    about = {"precision": "fp32", "batching": "32", "encoder": "once", "decoder": "argmax"}
    subjects = [
        {**about, "name": "slow", "versions": {"slow": "1.2"}, "memory": 2.5e9, "failed": None},
        {**about, "name": "dead", "versions": {}, "memory": None, "failed": "no wheel"},
    ]
    return {
        "benchmark": "peers",
        "machine": {"processor": "Abacus", "threads": 2, "cores": 4, "versions": {"torch": "9.1"}},
        "commit": None,
        "load": [1.0, None],
        "parameters": {"rounds": 3, "threads": 2, "brief": 1000, "seeds": 3, "encoder": "MiniLM"},
        "corpus": {
            "sentences": 2000,
            "words": 25000,
            "accuracy_sentences": 2000,
            "accuracy_words": 39754,
        },
        "subjects": subjects,
        "peaks": {"bf16": [900.0, 1000.0]},
        "works": found,
        "goals": [goal.plain() for goal in goals(found, precision="bf16")],
    }


def test_tables_have_goals_times_and_what_is_not_equal() -> None:
    made = result()
    page = report.markdown(made)
    assert "annotated: 2,000 sentences, 25,000 words, by models trained on 1,000" in page
    assert "an epoch:" not in page, "it was not measured"
    assert "GFLOP/s: bf16 1,000." in page
    assert (
        "| annotate | times faster than the fastest peer on its tasks | 6.00 | 6.00 | 7.00 "
        "| at least 5 | yes | fast (xpos, upos); not measured: dead |"
    ) in page
    bare = "| bare encoder, flat, bf16 | upos, xpos, ner, dep | 1.00 | 1,000 | 50% | 0.91 |"
    assert bare in page
    assert "| slow | upos, xpos, ner, dep | 13.00 | 77 |  | 10.00 | 10.00 | 10.00 |" in page
    assert "| dead | upos, xpos, ner, dep |  |  |  |  |  |  | not measured: ended |" in page
    assert "| hiermtl | upos, dep | 8 | 80.0 | 88.0 | upos 94.0, las 70.0, uas 75.0 |" in page
    assert "| slow | fp32 | 32 | once | argmax | 2.5 | slow 1.2 |" in page
    assert "not started: no wheel" in page
    assert "not started: no wheel" in report.text(made)


def test_a_result_goes_through_json_unchanged() -> None:
    assert report.markdown(json.loads(json.dumps(result()))) == report.markdown(result())


def test_bars_are_of_what_was_measured_with_ours_on_the_same_tasks() -> None:
    found = bars(works()["annotate"])
    assert [name for name, *_ in found][-2:] == [
        "slow (upos, xpos, ner, dep)",
        "fast (xpos, upos)",
    ]
    assert found[-1][1:] == (PEER, pytest.approx(1000 / 7), 1000.0)
    assert found[0][3] is None


@pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
def test_the_picture_names_every_bar() -> None:
    made = result()
    text = svg(picture(made))
    assert "mathdefault" not in text  # ticks are numbers, and no formulas
    for name, *_ in bars(works()["annotate"]):
        assert name in text
    for encoder, shown in ((MINILM, "MiniLM"), ("own/encoder", "own/encoder")):
        made["parameters"]["encoder"] = encoder
        assert f"words per second, {shown} on English EWT" in svg(picture(made))
    empty = result() | {"works": {}}
    with pytest.raises(ValueError, match="the result has no rows with seconds"):
        picture(empty)


@pytest.mark.parametrize("changed", ["drive_spacy.py", "serve.py"])
def test_a_kept_model_is_of_the_driver_that_would_make_it(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers = shutil.copytree(DRIVERS, tmp_path / "drivers")
    monkeypatch.setattr(subjects, "DRIVERS", drivers)
    (tmp_path / "train.jsonl").write_text("{}\n" * 3, encoding="utf-8")
    peer = Peer(
        PEERS["spacy"], "spacy", SimpleNamespace(train=tmp_path / "train.jsonl", encoder="e")
    )
    before = peer._digest(["upos"], 2)
    assert peer._digest(["upos"], 2) == before != peer._digest(["upos"], 3)
    (drivers / "drive_flair.py").write_text("another", encoding="utf-8")
    assert peer._digest(["upos"], 2) == before
    (drivers / changed).write_text("another", encoding="utf-8")
    assert peer._digest(["upos"], 2) != before
