"""Each command calls one function with what was typed, and prints what comes back."""

import errno
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from hiermtl.errors import RunError
from hiermtl.recipe import recipe_names, schema, show_recipe
from tests.unit.cli.conftest import ROWS


def test_export_passes_everything_on(program: Any, tmp_path: Path) -> None:
    found = program(
        *("export", "runs/ewt", "-o", "graph", "--tasks", "upos, dep", "--int8"),
        *("--data", "gold.conllu", "--data-dir", str(tmp_path)),
    )
    assert found.exit_code == 0
    assert found.stdout == "TEXT\n"
    assert program.calls == [
        (
            "export",
            ("runs/ewt", Path("graph")),
            {
                "tasks": ["upos", "dep"],
                "int8": True,
                "data": "gold.conllu",
                "data_dir": tmp_path,
            },
        )
    ]


def test_train_passes_everything_on(program: Any, tmp_path: Path) -> None:
    found = program(
        *("train", "hard/ewt", "training.lr=4e-4", "-o", "runs/a", "--resume"),
        *("--processes", "2", "--data-dir", str(tmp_path), "tasks.ner=null", "sharing=single"),
    )
    assert found.exit_code == 0
    assert found.stdout == "TEXT\n\nThe model is in runs/quickstart; scores are those of dev.\n"
    assert program.calls == [
        (
            "train",
            ("hard/ewt",),
            {
                "output": Path("runs/a"),
                "resume": True,
                "processes": 2,
                "data_dir": tmp_path,
                "quiet": False,
                "overrides": {"training.lr": 4e-4, "tasks.ner": None, "sharing": "single"},
            },
        )
    ]


def test_train_is_silent_when_asked_or_when_another_process_speaks(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("train", "quickstart", "--quiet").output == ""
    monkeypatch.setenv("RANK", "1")
    assert program("train", "quickstart").output == ""


def test_override_values_are_yaml(program: Any) -> None:
    program("train", "r", "a=50%", "b=[1, x]", "c={d: true}", "e=null", "f=a=b")
    assert program.calls[0][2]["overrides"] == {
        "a": "50%",
        "b": [1, "x"],
        "c": {"d": True},
        "e": None,
        "f": "a=b",
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("training.epochs", "'training.epochs' is not KEY=VALUE"),
        ("=3", "'=3' is not KEY=VALUE"),
        ("a.b=", "write one, or a.b=null"),
    ],
)
def test_what_is_no_override_is_a_usage_error(program: Any, argument: str, message: str) -> None:
    found = program("train", "quickstart", argument)
    assert found.exit_code == 2
    assert message in found.stderr
    assert program.calls == []


def test_a_key_set_twice_is_a_usage_error(program: Any) -> None:
    found = program("train", "quickstart", "a=1", "a=2")
    assert (found.exit_code, "'a' is set twice" in found.stderr) == (2, True)


def test_a_malformed_value_names_its_key(program: Any) -> None:
    found = program("check", "quickstart", "tasks.upos=[1")
    assert (found.exit_code, found.stderr[:20]) == (2, "error: tasks.upos:1:")


def test_check_prints_findings(program: Any) -> None:
    assert program("check", "quickstart", "training.epochs=2").stdout == "5 tasks\n1 corpus\n"
    assert program.calls[0][2] == {"data_dir": None, "overrides": {"training.epochs": 2}}
    assert program("check", "quickstart", "-q").output == ""


@pytest.mark.parametrize(
    ("form", "text"),
    [("text", "TEXT\n"), ("markdown", "| MARK |\n")],
)
def test_evaluate_prints_in_the_form_asked_for(program: Any, form: str, text: str) -> None:
    assert program("evaluate", "runs/a", "--format", form).stdout == text


def test_evaluate_writes_rows_and_nothing_around_them(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")
    found = program(
        *("evaluate", "runs/a", "corpora.a.test=t.tsv", "--data", "g.conllu", "--split", "test"),
        "--raw",
        *("--tasks", "upos, ner", "--precision", "bf16", "--json", str(path), "--quiet"),
    )
    assert (found.exit_code, found.output) == (0, "")
    assert json.loads(path.read_text())[0]["task"] == "upos"
    assert program.calls[0] == (
        "evaluate",
        ("runs/a", "g.conllu"),
        {
            "split": "test",
            "tasks": ["upos", "ner"],
            "raw": True,
            "by": (),
            "intervals": False,
            "calibration": False,
            "confusion": False,
            "cost": False,
            "exits": False,
            "precision": "bf16",
            "device": None,
            "data_dir": None,
            "overrides": {"corpora.a.test": "t.tsv"},
        },
    )
    assert json.loads(program("evaluate", "m", "--format", "json").stdout) == json.loads(
        path.read_text()
    )


def test_evaluate_looks_for_its_places_before_the_work_and_prints_before_it_writes(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (("--json",), ("--cost", "--details")):
        found = program("evaluate", "m", *given, str(tmp_path / "none" / "found.json"))
        assert (found.exit_code, found.stdout, program.calls) == (2, "", [])
        assert "none does not exist; make it" in found.stderr
    printed = program("evaluate", "m").stdout
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(_: int) -> None:
        raise full

    monkeypatch.setattr("hiermtl.atomic.os.fsync", sync)
    found = program("evaluate", "m", "--json", str(tmp_path / "found.json"))
    assert (found.exit_code, found.stdout) == (1, printed)
    assert "no space left" in found.stderr
    assert not list(tmp_path.iterdir())


def test_rows_and_details_go_to_two_files(program: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "found.json")
    found = program("evaluate", "m", "--cost", "--json", file, "--details", file)
    assert (found.exit_code, program.calls) == (2, [])
    assert "found.json is named by --json too; name another file" in found.stderr


@pytest.mark.parametrize("command", [("compare", "runs/a"), ("grid", "levels.yaml")])
def test_comparisons_look_for_their_place_before_the_work(
    program: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    found = program(*command, "--json", str(tmp_path / "none" / "found.json"))
    assert (found.exit_code, found.stdout, program.calls) == (2, "", [])
    assert "none does not exist; make it" in found.stderr
    found = program(*command, "--json", str(tmp_path / "found.json"))
    assert (found.exit_code, found.stdout) == (0, "TEXT\n")
    assert json.loads((tmp_path / "found.json").read_text()) == ROWS
    assert program(*command, "--json", str(tmp_path / "found.json"), "-q").stdout == ""


def test_annotate_says_where_it_computes_and_what_it_writes(program: Any) -> None:
    """Workers and a cluster do not take a graphics processor unless told to."""
    said = " ".join(program("annotate", "--help").stdout.split())
    assert "Default: cuda where there is one; of workers and a cluster, cpu." in said
    assert "File to write, or -; of a folder, a folder." in said


def test_details_of_nothing_are_refused_before_anything_is_scored(program: Any) -> None:
    found = program("evaluate", "runs/a", "--details", "d.json")
    assert (found.exit_code, program.calls) == (2, [])
    assert "there is nothing to write; add --calibration" in found.stderr


def test_details_are_asked_for_by_name_and_written_beside_the_rows(
    program: Any, tmp_path: Path
) -> None:
    path = tmp_path / "details.json"
    found = program(
        *("evaluate", "m", "--by", "length,genre", "--by", "label", "--intervals"),
        *("--calibration", "--confusion", "--cost", "--exits", "--details", str(path)),
    )
    assert found.exit_code == 0, found.output
    asked = program.calls[0][2]
    assert asked["by"] == ["length,genre", "label"]
    assert all(asked[name] for name in ("intervals", "calibration", "confusion", "cost", "exits"))
    assert json.loads(path.read_text()) == {"confusion": []}


def test_evaluate_has_no_other_splits(program: Any) -> None:
    found = program("evaluate", "runs/a", "--split", "train")
    assert (found.exit_code, "'train' is not one of 'dev', 'test'" in found.stderr) == (2, True)


def test_annotate_passes_everything_on_and_reports_on_standard_error(program: Any) -> None:
    found = program(
        *("annotate", "runs/a", "-", "-o", "-", "--tasks", "upos,ner", "--format", "jsonl"),
        *("--input-format", "conllu", "--workers", "3", "--device", "cpu"),
    )
    assert (found.exit_code, found.stdout) == (0, "")
    left_out, cut, said = found.stderr.splitlines()
    assert left_out == "left out: topic, which the format of the output cannot hold"
    assert cut == (
        "2 documents of more than 100,000 words were annotated in parts, between which no mentions "
        "are linked"
    )
    assert said == "1,200 sentences, 24,000 words in 2.0 s, 12,000 words/s"
    assert program.calls == [
        (
            "annotate",
            ("runs/a", "-", "-"),
            {
                "tasks": ["upos", "ner"],
                "format": "jsonl",
                "source_format": "conllu",
                "precision": None,
                "device": "cpu",
                "workers": 3,
                "engine": "local",
                "exits": False,
                "told": ANY,
            },
        )
    ]
    assert program("annotate", "runs/a", "in", "-o", "out", "-q").output == ""


def test_annotate_says_where_sentences_were_read(program: Any) -> None:
    report = sys.modules["hiermtl.commands"].annotate()
    report.left = {"dep": {3: 700, 6: 500}, "ner": {5: 1200}}
    found = program("annotate", "runs/a", "in", "-o", "out", "--exits")
    assert program.calls[-1][2]["exits"] is True
    assert found.stderr.splitlines()[2:4] == [
        "dep: 700 at depth 3 and 500 at depth 6",
        "ner: 1,200 at depth 5",
    ]


def test_exits_pass_everything_on(program: Any, tmp_path: Path) -> None:
    found = program(
        *("exits", "runs/ewt", "--loss", "0.5", "-o", "out", "--tasks", "upos,dep"),
        *("--device", "cpu", "--format", "markdown", "--json", str(tmp_path / "exits.json")),
        *("--data-dir", str(tmp_path)),
    )
    assert (found.exit_code, found.stdout) == (0, "| MARK |\n")
    assert found.stderr == "The model with exits is out; load it with exits=True.\n"
    assert json.loads((tmp_path / "exits.json").read_text()) == ROWS
    ((name, given, options),) = program.calls
    assert (name, given) == ("exits", ("runs/ewt",))
    options.pop("told")("upos: done")
    assert options == {
        "output": Path("out"),
        "loss": 0.5,
        "tasks": ["upos", "dep"],
        "device": "cpu",
        "data_dir": tmp_path,
    }
    assert program("exits", "m", "--loss", "1", "-o", "out", "-q").output == "TEXT\n"


@pytest.mark.parametrize("missing", ["--loss", "--output"])
def test_exits_need_a_loss_and_a_place(program: Any, missing: str) -> None:
    given = {"--loss": "0.5", "--output": "out"}
    del given[missing]
    found = program("exits", "runs/ewt", *(part for pair in given.items() for part in pair))
    assert (found.exit_code, missing in found.stderr) == (2, True)


def test_annotate_needs_an_output(program: Any) -> None:
    found = program("annotate", "runs/a", "in.txt")
    assert (found.exit_code, "--output" in found.stderr) == (2, True)
    found = program("annotate", "runs/a", "in.txt", "-o", "x", "--tasks", ",")
    assert (found.exit_code, "',' names no task" in found.stderr) == (2, True)


def test_recipes_are_listed_with_what_they_are(program: Any) -> None:
    lines = program("recipes", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(recipe_names())
    assert all(
        line.endswith(text) for line, text in zip(lines, recipe_names().values(), strict=True)
    )
    assert program("recipes", "list", "-q").stdout.split() == list(recipe_names())


def test_recipes_are_shown(program: Any) -> None:
    assert program("recipes", "show", "hard/ewt").stdout == show_recipe("hard/ewt")
    assert program("recipes", "show", "hard/ewt", "-q").stdout.startswith("description: ")
    found = program("recipes", "show", "hard/ewtt")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.startswith(
        "error: there is no recipe 'hard/ewtt'; did you mean 'hard/ewt'?"
    )


def test_recipes_are_copied(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert program("recipes", "copy", "quickstart", str(path)).stderr == f"wrote {path}\n"
    assert path.read_text() == show_recipe("quickstart")
    found = program("recipes", "copy", "quickstart", str(path))
    assert (found.exit_code, "mine.yaml exists" in found.stderr) == (2, True)


def test_a_recipe_is_copied_into_a_folder_that_a_slash_says_is_one(
    program: Any, tmp_path: Path
) -> None:
    found = program("recipes", "copy", "hard/sample", f"{tmp_path}/new/")
    assert found.stderr == f"wrote {tmp_path}/new/hard-sample.yaml\n"
    assert (tmp_path / "new" / "hard-sample.yaml").read_text() == show_recipe("hard/sample")


def test_sample_passes_everything_on(program: Any) -> None:
    found = program("sample", "d", "--seed", "3", "--train", "10", "--dev", "4", "--test", "5")
    assert found.exit_code == 0
    assert program.calls == [
        ("sample", (Path("d"),), {"seed": 3, "train": 10, "dev": 4, "test": 5})
    ]


def test_the_schema_is_printed_or_written(program: Any, tmp_path: Path) -> None:
    assert json.loads(program("schema").stdout) == schema()
    path = tmp_path / "s.json"
    assert program("schema", "-o", str(path), "-q").output == ""
    assert json.loads(path.read_text()) == schema()
    found = program("schema", "-o", str(tmp_path / "none" / "s.json"))
    assert (found.exit_code, "s.json: the folder" in found.stderr) == (2, True)


def test_demo_passes_its_options_on_and_says_where_the_page_is(program: Any) -> None:
    found = program("demo", "runs/a", "--port", "0", "--limit", "90", "--precision", "fp32")
    assert found.exit_code == 0
    ((name, arguments, options),) = program.calls
    assert (name, arguments) == ("demo", ("runs/a",))
    told = options.pop("told")
    assert options == {"port": 0, "limit": 90, "precision": "fp32", "device": None}
    assert callable(told)


@pytest.mark.parametrize("given", [("--port", "65536"), ("--port", "-1"), ("--limit", "0")])
def test_demo_refuses_numbers_that_cannot_be(program: Any, given: tuple[str, str]) -> None:
    found = program("demo", "runs/a", *given)
    assert (found.exit_code, program.calls) == (2, [])
    assert f"Invalid value for '{given[0]}': Input should be" in found.stderr


def test_report_passes_everything_on_and_speaks_on_standard_error(program: Any) -> None:
    found = program(
        *("report", "runs/a", "-o", "page.html", "--compare", "runs/b", "--compare", "runs/c"),
        *("--controls", "single, hard", "--probe", "p.json", "--pictures", "out"),
        *("--errors", "3", "--speed", "--device", "cpu"),
    )
    assert (found.exit_code, found.stdout) == (0, "")
    assert found.stderr.splitlines() == [
        "note: the log is cut",
        "wrote 2 pictures to out",
        "wrote page.html",
    ]
    assert program.calls == [
        (
            "report",
            ("runs/a", Path("page.html")),
            {
                "compare_with": [Path("runs/b"), Path("runs/c")],
                "controls": ["single", "hard"],
                "probe": Path("p.json"),
                "pictures": Path("out"),
                "errors": 3,
                "speed": True,
                "device": "cpu",
                "data_dir": None,
            },
        )
    ]
    assert program("report", "runs/a", "-o", "page.html", "-q").output == ""


def test_report_needs_a_page_to_write(program: Any) -> None:
    found = program("report", "runs/a")
    assert (found.exit_code, "--output" in found.stderr) == (2, True)
    assert program("report", "runs/a", "-o", "x", "--errors", "-1").exit_code == 2


def test_probe_passes_everything_on(program: Any, tmp_path: Path) -> None:
    found = program(
        *("probe", "mine.yaml", "encoder.name=x", "-o", "out", "--tasks", "upos,ner"),
        *("--seeds", "3", "--examples", "50", "--device", "cpu", "--format", "markdown"),
        *("--json", str(tmp_path / "probe.json"), "--data-dir", str(tmp_path)),
    )
    assert (found.exit_code, found.stdout) == (0, "| MARK |\n")
    assert found.stderr == "The proposed recipe is out/recipe.yaml.\n"
    assert json.loads((tmp_path / "probe.json").read_text()) == ROWS
    assert program.calls[0] == ("make_folder", (Path("out"),), {})
    assert program.calls[2] == ("save", (Path("out"),), {})
    name, given, options = program.calls[1]
    assert (name, given) == ("probe", ("mine.yaml",))
    options.pop("told")("upos: done")
    assert options == {
        "tasks": ["upos", "ner"],
        "seeds": 3,
        "examples": 50,
        "device": "cpu",
        "data_dir": tmp_path,
        "overrides": {"encoder.name": "x"},
    }


def test_probe_looks_for_its_places_before_the_work_and_prints_before_it_writes(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = program("probe", "runs/ewt", "--json", str(tmp_path / "none" / "probe.json"))
    assert (found.exit_code, found.stdout, program.calls) == (2, "", [])
    assert "none does not exist; make it" in found.stderr
    commands = sys.modules["hiermtl.commands"]
    full = SimpleNamespace(**vars(commands.probe()))

    def save(_: Path) -> None:
        raise RunError("no space left")

    full.save = save
    monkeypatch.setattr(commands, "probe", program.function("probe", full))
    found = program("probe", "runs/ewt", "-o", "out", "--json", str(tmp_path / "probe.json"))
    assert (found.exit_code, found.stdout) == (1, "TEXT\n")
    assert "no space left" in found.stderr
    assert json.loads((tmp_path / "probe.json").read_text()) == ROWS


def test_probe_prints_tables_alone_when_it_is_quiet(program: Any) -> None:
    found = program("probe", "runs/ewt", "--quiet", "-o", "out")
    assert (found.stdout, found.stderr) == ("TEXT\n", "")
    assert json.loads(program("probe", "runs/ewt", "--format", "json").stdout) == ROWS
