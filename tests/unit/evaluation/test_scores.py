"""Score rows as text, Markdown, JSON, data frame and files."""

import json
from pathlib import Path

import numpy as np
import pytest

from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.evaluation import KEYS, Counts, ScoreRow, Scores, load_counts, main_score
from hiermtl.evaluation.measures import counted_by

ORIGIN = {"data": "toy", "split": "dev", "dtype": "fp32", "seed": 1}


def row(level: int, task: str, metric: str, score: float, **other: object) -> ScoreRow:
    given = {"depth": 2 * level, "items": 1200, "scorer": "conll18", **ORIGIN, **other}
    return ScoreRow(level=level, task=task, metric=metric, score=score, **given)


SCORES = Scores(
    (
        row(1, "upos", "accuracy", 95.126, scorer="accuracy"),
        row(2, "dep", "las", 80.0),
        row(2, "dep", "uas", 100.0),
    ),
    ("upos: 3 items carry labels never seen in training: 'X', scored as errors",),
)


def test_the_text_is_a_table_by_level_with_a_line_on_its_origin() -> None:
    assert SCORES.to_text() == "\n".join(
        [
            "level  depth  task  metric     score  items",
            "    1      2  upos  accuracy   95.13   1200",
            "",
            "    2      4  dep   las        80.00   1200",
            "                    uas       100.00   1200",
            "",
            "split dev; scorer accuracy, conll18 (las, uas); dtype fp32; seed 1; data toy",
            "note: upos: 3 items carry labels never seen in training: 'X', scored as errors",
        ]
    )
    assert str(SCORES) == SCORES.to_text()


def test_the_table_goes_from_low_to_high_whatever_the_order_of_the_rows() -> None:
    shuffled = Scores((SCORES.rows[1], SCORES.rows[2], SCORES.rows[0]), SCORES.notes)
    assert shuffled.to_text().splitlines()[:5] == SCORES.to_text().splitlines()[:5]


def test_rows_of_one_task_stand_together() -> None:
    rows = (row(1, "upos", "accuracy", 1), row(1, "xpos", "accuracy", 2), row(1, "upos", "f1", 3))
    shown = [line.split() for line in Scores(rows).to_text().splitlines()[1:4]]
    assert [cells[-2] for cells in shown] == ["1.00", "3.00", "2.00"]


def test_a_bar_in_the_name_of_a_task_stays_in_its_cell() -> None:
    scores = Scores((row(1, "a|b", "accuracy", 1.0),))
    assert "| a\\|b | accuracy |" in scores.to_markdown()


def test_correlations_have_four_decimals_and_an_unknown_seed_is_said() -> None:
    scores = Scores((row(1, "relatedness", "pearson", 0.8, scorer="pearson", seed=None),))
    assert "pearson  0.8000" in scores.to_text()
    assert "scorer pearson; dtype fp32; seed unknown;" in scores.to_text()


def test_rows_of_two_splits_make_two_tables() -> None:
    scores = Scores((SCORES.rows[0], row(1, "upos", "accuracy", 90.0, split="test")))
    text = scores.to_text()
    assert text.count("level  depth") == 2
    assert text.index("split dev") < text.index("90.00") < text.index("split test")


def test_no_rows_are_said_to_be_none() -> None:
    assert Scores((), ("ner: toy has no gold for it",)).to_text() == (
        "no scores\nnote: ner: toy has no gold for it"
    )
    assert Scores(()).to_markdown() == "no scores"
    assert repr(Scores(())) == "<Scores: none>"


def test_the_markdown_table_fills_every_cell() -> None:
    lines = SCORES.to_markdown().splitlines()
    assert lines[0] == "| level | depth | task | metric | score | items |"
    assert lines[4] == "| 2 | 4 | dep | uas | 100.00 | 1200 |"
    assert lines[6].startswith("split dev; scorer accuracy, conll18 (las, uas);")
    assert lines[8] == f"- {SCORES.notes[0]}"


def test_json_is_a_list_of_rows_with_the_keys_in_order() -> None:
    rows = json.loads(SCORES.to_json())
    assert isinstance(rows, list)
    assert [list(row) for row in rows] == [list(KEYS)] * 3
    assert " ".join(KEYS) == ("level depth task metric score items data split scorer dtype seed")
    assert rows[0] == {
        **ORIGIN,
        "level": 1,
        "depth": 2,
        "task": "upos",
        "metric": "accuracy",
        "score": 95.126,
        "items": 1200,
        "scorer": "accuracy",
    }
    assert json.loads(Scores(()).to_json()) == []


def test_json_is_written_whole_and_replaces_a_file(tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    target.write_text("old")
    SCORES.write_json(target)
    assert json.loads(target.read_text()) == json.loads(SCORES.to_json())
    (tmp_path / "usual").touch()
    assert target.stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "scores.json"
    target.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(RunError, match=r"scores\.json: cannot be written \(no space left\)"):
        SCORES.write_json(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the folder .*nowhere does not exist; make it"):
        SCORES.write_json(tmp_path / "nowhere" / "scores.json")


def test_the_data_frame_has_the_keys_as_columns() -> None:
    frame = SCORES.to_pandas()
    assert list(frame.columns) == list(KEYS)
    assert frame["score"].tolist() == [95.126, 80.0, 100.0]
    assert list(Scores(()).to_pandas().columns) == list(KEYS)


def test_the_main_row_is_the_first_of_a_task() -> None:
    assert SCORES.main("dep").metric == "las"
    with pytest.raises(RecipeError) as caught:
        SCORES.main("deps")
    assert str(caught.value) == (
        "there is no score of 'deps'; there are scores of upos and dep; did you mean 'dep'?"
    )


def test_a_filter_takes_a_value_or_several() -> None:
    assert [r.metric for r in SCORES.filter(task="dep")] == ["las", "uas"]
    assert [r.metric for r in SCORES.filter(level=(1, 2), metric={"uas", "accuracy"})] == [
        "accuracy",
        "uas",
    ]
    assert SCORES.filter(task="dep").notes == ()
    assert SCORES.filter(task="upos").notes == SCORES.notes
    with pytest.raises(RecipeError, match=r"score rows have no key 'metrics'; they have level, .*"):
        SCORES.filter(metrics="las")


def test_scores_are_iterated_counted_and_shown_short() -> None:
    assert len(SCORES) == 3
    assert [r.task for r in SCORES] == ["upos", "dep", "dep"]
    assert repr(SCORES) == "<Scores: upos accuracy 95.13, dep las 80.00>"


def test_a_score_that_is_no_number_or_has_no_known_name_is_refused() -> None:
    with pytest.raises(ValueError, match="upos accuracy is nan; a score is a number"):
        row(1, "upos", "accuracy", float("nan"))
    with pytest.raises(ValueError, match=r"'acuracy' is no name of a metric.*did you mean 'acc"):
        row(1, "upos", "acuracy", 1.0)


def counts_of(metric: str, columns: tuple[str, ...], *, rows: list[list[float]]) -> Counts:
    return Counts(
        task="upos",
        rows=np.array(rows),
        sentences=np.arange(len(rows)),
        documents=np.array(["é"] * len(rows)),
        metric=metric,
        columns=columns,
        scorer="accuracy",
        **ORIGIN,
    )


def test_counts_come_back_as_they_were_saved_and_can_be_scored_again(tmp_path: Path) -> None:
    saved = {
        "upos": counts_of("accuracy", ("correct", "items"), rows=[[1, 2], [3, 3]]),
        "a/b": counts_of(
            "aligned", ("f1.UPOS.correct", "f1.UPOS.gold", "f1.UPOS.system"), rows=[[1, 2, 2]]
        ),
    }
    Scores((), (), saved).save_counts(tmp_path / "counts.npz")
    found = load_counts(tmp_path / "counts.npz")
    assert list(found) == ["upos", "a/b"]
    for task, counts in saved.items():
        again = found[task]
        assert again.rows.tolist() == counts.rows.tolist()
        assert again.documents.tolist() == counts.documents.tolist()
        assert again.columns == counts.columns
        assert (again.data, again.split, again.dtype, again.seed) == ("toy", "dev", "fp32", 1)
    assert counted_by(found["upos"]).score_rows(found["upos"].rows) == {"accuracy": 80.0}
    assert counted_by(found["upos"]).score_rows(found["upos"].rows[[0]]) == {"accuracy": 50.0}
    assert counted_by(found["a/b"]).score_rows(found["a/b"].rows) == {"f1": 50.0}


def test_the_file_of_counts_holds_no_pickle(tmp_path: Path) -> None:
    Scores((), (), {"t": counts_of("accuracy", ("correct", "items"), rows=[])}).save_counts(
        tmp_path / "counts.npz"
    )
    with np.load(tmp_path / "counts.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_file_that_holds_no_counts_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "counts.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"counts.npz: no file of counts .*; write one with save_c"):
        load_counts(path)
    with pytest.raises(DataError, match=r"nothing.npz: no such file of counts"):
        load_counts(tmp_path / "nothing.npz")


def test_the_best_checkpoint_goes_by_the_mean_of_the_main_metrics() -> None:
    assert main_score(SCORES, ["upos", "dep"]) == pytest.approx((95.126 + 80.0) / 2)
    assert main_score(SCORES, ["dep"]) == 80.0
    mixed = Scores((*SCORES.rows, row(3, "relatedness", "pearson", 0.5, scorer="pearson")))
    assert main_score(mixed, ["dep", "relatedness"]) == pytest.approx(65.0)


def test_the_best_checkpoint_needs_a_main_task_with_a_rate() -> None:
    with pytest.raises(RecipeError, match="all tasks are auxiliary"):
        main_score(SCORES, [])
    with pytest.raises(RecipeError, match="there is no score of 'ner'"):
        main_score(SCORES, ["upos", "ner"])
    words = Scores((row(3, "mlm", "perplexity", 12.0, scorer="perplexity"),))
    with pytest.raises(RecipeError, match="the main metric of 'mlm' is perplexity"):
        main_score(words, ["mlm"])
