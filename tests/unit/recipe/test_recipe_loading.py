"""Recipes by name, path and mapping; overrides; one recipe laid over another."""

from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError, RecipeError
from hiermtl.recipe import (
    Recipe,
    copy_recipe,
    corpora_of,
    data_file,
    default_output,
    differences,
    load_recipe,
    recipe_names,
    recipes_folder,
    resolved,
    show_recipe,
)
from hiermtl.recipe.encoder import BilstmEncoder, PretrainedEncoder
from hiermtl.recipe.heads import CrfHead, TaggingHead
from hiermtl.recipe.resolved import chosen
from hiermtl.recipe.training import TrainingOptions
from hiermtl.sharing import SHARING

FURTHER = {
    "hmtl/sample": ("encoder.layers", "tasks.mention", "tasks.relation", "tasks.coref"),
}
"""What else a scheme's recipe has: the upper levels that HMTL is made for."""

SCHEMES = (
    "hard",
    "hmtl",
    "single",
    "soft_l2",
    "soft_trace",
    "cross_stitch",
    "sluice",
    "learned",
    "relationship",
)
"""Whose recipes differ from low supervision's in what is shared, and in depths."""

TOP = ("hard", "single", "cross_stitch", "sluice", "learned", "relationship", "adaptive")
"""Whose recipes read every task at the top."""

SHIPPED = [
    "adaptive/ewt",
    "adaptive/ewt_bilstm",
    "adaptive/sample",
    "cross_stitch/ewt",
    "cross_stitch/ewt_bilstm",
    "cross_stitch/sample",
    "en_base",
    "en_small",
    "hard/ewt",
    "hard/ewt_bilstm",
    "hard/ewt_sick",
    "hard/ewt_sick_bilstm",
    "hard/sample",
    "hmtl/ewt",
    "hmtl/ewt_bilstm",
    "hmtl/gum",
    "hmtl/sample",
    "joint_many/ewt",
    "joint_many/ewt_bilstm",
    "joint_many/ewt_sick",
    "joint_many/ewt_sick_bilstm",
    "joint_many/sample",
    "ladder/english",
    "ladder/sample",
    "learned/ewt",
    "learned/ewt_bilstm",
    "learned/sample",
    "low_supervision/crossre",
    "low_supervision/ewt",
    "low_supervision/ewt_bilstm",
    "low_supervision/ewt_lora",
    "low_supervision/ewt_segment",
    "low_supervision/ewt_sick",
    "low_supervision/ewt_sick_bilstm",
    "low_supervision/gum",
    "low_supervision/propbank",
    "low_supervision/sample",
    "low_supervision/sample_hint",
    "low_supervision/sample_segment",
    "low_supervision/semeval",
    "quickstart",
    "relationship/ewt",
    "relationship/ewt_bilstm",
    "relationship/sample",
    "single/ewt",
    "single/ewt_bilstm",
    "single/ewt_sick",
    "single/ewt_sick_bilstm",
    "single/sample",
    "sluice/ewt",
    "sluice/ewt_bilstm",
    "sluice/sample",
    "soft_l2/ewt",
    "soft_l2/ewt_bilstm",
    "soft_l2/sample",
    "soft_trace/ewt",
    "soft_trace/ewt_bilstm",
    "soft_trace/sample",
]


def test_the_list_of_shipped_recipes_is_complete() -> None:
    assert list(recipe_names()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    text = show_recipe(name)
    assert recipe.name == name
    assert recipe.description == recipe_names()[name] != ""
    assert recipe.source.endswith(f"{name}.yaml")
    assert text.startswith("# ")
    assert f"# Command  hiermtl train {name}" in text
    assert len(text.splitlines()) <= 45
    assert load_recipe(resolved(recipe)).model_dump() == recipe.model_dump()
    scheme, _, corpus = name.partition("/")
    if scheme in TOP:
        assert {task.depth for task in recipe.tasks.values()} == {None}
    if scheme in SCHEMES:
        main = load_recipe(f"low_supervision/{corpus}")
        assert all(
            key == "description"
            or key.startswith(("sharing.", *FURTHER.get(name, ())))
            or key.endswith(".depth")
            for key in differences(recipe, main)
        )


@pytest.mark.parametrize("scheme", SHARING)
def test_every_scheme_has_its_recipes(scheme: str) -> None:
    """On generated sentences, and on the treebank with either encoder."""
    for corpus in ("sample", "ewt", "ewt_bilstm"):
        assert load_recipe(f"{scheme}/{corpus}").sharing.name == scheme


@pytest.mark.parametrize("corpus", ["ewt", "ewt_bilstm"])
def test_joint_many_differs_from_low_supervision_in_whose_batch_is_next_too(corpus: str) -> None:
    joint, main = load_recipe(f"joint_many/{corpus}"), load_recipe(f"low_supervision/{corpus}")
    assert joint.sampling.name == "bottom_up"
    parts = {key.partition(".")[0] for key in differences(joint, main)}
    assert parts == {"description", "sharing", "sampling"}


def test_nested_options_of_schemes_are_read_and_come_back() -> None:
    for given in (
        {"name": "adaptive", "tree": {3: [["dep"]], 2: [["chunk", "ner"], ["dep"]]}},
        {"name": "adaptive", "affinity": {"upos": {"ner": 0.5, "dep": 1.0}}},
        {"name": "soft_trace", "variant": "tt", "mode_weights": [0.5, 1.0]},
        {"name": "hmtl", "tree": {"ner": "upos", "upos": None}},
    ):
        recipe = load_recipe("low_supervision/sample", {"sharing": given})
        again = load_recipe(resolved(recipe))
        assert again.sharing.model_dump() == recipe.sharing.model_dump()


def test_an_adapter_is_read_in_its_short_and_its_long_form() -> None:
    given = {"encoder": {"name": "a/b"}}
    for adapter in ("lora", {}, {"name": "lora", "rank": 8}):
        recipe = load_recipe("low_supervision/ewt", {**given, "adapter": adapter})
        assert recipe.adapter.model_dump()["rank"] == 8
        assert load_recipe(resolved(recipe)).model_dump() == recipe.model_dump()
    laid = load_recipe("low_supervision/ewt_lora", {"adapter.rank": 4, "adapter.targets": "query"})
    assert laid.adapter.model_dump()["targets"] == ("query",)
    assert load_recipe("low_supervision/ewt_lora", {"adapter": "none"}).adapter.name == "none"
    assert load_recipe("low_supervision/ewt").adapter.name == "none"


def test_ewt_is_joined_with_its_entities() -> None:
    recipe = load_recipe("low_supervision/ewt")
    (join,) = recipe.corpora["ewt"].join  # type: ignore[attr-defined]
    assert (join.words, join.columns, join.mismatch) == (1, {"ner": 2}, "skip")
    assert "pre-release" in (join.note or "")
    assert recipe.encoder == PretrainedEncoder(
        name="sentence-transformers/all-MiniLM-L6-v2", word_dropout=0.05
    )


def test_a_task_needs_no_more_than_its_depth(small: dict[str, Any]) -> None:
    recipe = load_recipe(small)
    assert recipe.tasks["upos"].head == TaggingHead()
    assert recipe.tasks["ner"].head == CrfHead(bio=True)
    assert recipe.tasks["dep"].column == "dep"
    assert corpora_of(recipe, "dep") == ("sample",)
    assert recipe.source == "a mapping"


@pytest.mark.parametrize("recipe", [3, None, ["a"]])
def test_what_is_no_recipe_is_refused(recipe: Any) -> None:
    with pytest.raises(RecipeError, match="is no recipe; pass a shipped name, the path of a YAML"):
        load_recipe(recipe)


def test_heads_keep_the_default_that_fits_their_task(small: dict[str, Any]) -> None:
    recipe = load_recipe(small, {"tasks.upos.head": "crf", "tasks.ner.head.bio": False})
    assert recipe.tasks["upos"].head == CrfHead(bio=False)
    assert recipe.tasks["ner"].head == CrfHead(bio=False)


def test_order_of_tasks_means_nothing(small: dict[str, Any]) -> None:
    turned = {**small, "tasks": dict(reversed(small["tasks"].items()))}
    assert differences(load_recipe(small), load_recipe(turned)) == []


def test_short_and_long_forms_are_the_same(small: dict[str, Any]) -> None:
    short = load_recipe(small, {"sharing": "single", "tasks.ner.head": "tagging"})
    long = load_recipe(small, {"sharing.name": "single", "tasks.ner.head": {"name": "tagging"}})
    assert resolved(short) == resolved(long)


def test_overrides_are_applied_in_order_and_merged(small: dict[str, Any]) -> None:
    recipe = load_recipe(
        small, {"training": {"epochs": 3, "seed": 7}, "training.epochs": 2, "tasks.ner": None}
    )
    assert (recipe.training.epochs, recipe.training.seed) == (2, 7)
    assert list(recipe.tasks) == ["upos", "dep"]


def test_text_becomes_a_number_only_where_one_is_needed(small: dict[str, Any]) -> None:
    recipe = load_recipe(
        small,
        {
            "training.epochs": "2",
            "training.lr": "1e-3",
            "training.warmup": "0.1",
            "tasks.dep.depth": "3",
            "training.output": "7",
        },
    )
    assert (recipe.training.epochs, recipe.training.lr, recipe.training.warmup) == (2, 1e-3, 0.1)
    assert recipe.tasks["dep"].depth == 3
    assert recipe.training.output == "7"


def test_paths_are_taken_as_text(small: dict[str, Any]) -> None:
    recipe = load_recipe(small, {"training.output": Path("runs") / "a"})
    assert recipe.training.output == "runs/a"


def test_a_new_name_drops_the_options_of_the_old_one(small: dict[str, Any]) -> None:
    small["encoder"] = {"name": "bilstm", "layers": 4, "freeze_below": 1}
    small["tasks"]["dep"]["head"] = {"name": "biaffine", "arc_width": 50}
    recipe = load_recipe(small, {"encoder.name": "bert-base-cased", "tasks.dep.head": "tagging"})
    assert recipe.encoder == PretrainedEncoder(name="bert-base-cased", freeze_below=1)
    assert recipe.tasks["dep"].head == TaggingHead()


def test_options_without_a_name_belong_to_the_default(small: dict[str, Any]) -> None:
    recipe = load_recipe(small, {"encoder.layers": 5, "tasks.dep.head.arc_width": 20})
    assert recipe.encoder == BilstmEncoder(layers=5)
    assert recipe.tasks["dep"].head.arc_width == 20  # type: ignore[attr-defined]


def test_items_of_lists_are_overridden_by_index() -> None:
    key = "corpora.ewt.join.0.mismatch"
    recipe = load_recipe("low_supervision/ewt", {key: "project"})
    assert recipe.corpora["ewt"].join[0].mismatch == "project"  # type: ignore[attr-defined]
    with pytest.raises(RecipeError, match=r"corpora\.ewt\.join\.3 is not a key; .* items 0 to 0"):
        load_recipe("low_supervision/ewt", {"corpora.ewt.join.3.mismatch": "skip"})


def test_a_mapping_given_is_not_changed(small: dict[str, Any]) -> None:
    before = repr(small)
    load_recipe(small, {"tasks.ner": None, "training.epochs": 1})
    assert repr(small) == before


def test_a_loaded_recipe_can_be_loaded_again_with_overrides() -> None:
    recipe = load_recipe(load_recipe("quickstart"), {"training.epochs": 1})
    assert (recipe.name, recipe.training.epochs) == ("quickstart", 1)


def test_a_file_extends_a_shipped_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: quickstart\ntasks: {xpos: null}\ntraining: {lr: 1e-3}\n")
    recipe = load_recipe(path)
    assert list(recipe.tasks) == ["upos", "chunk", "ner", "dep"]
    assert (recipe.name, recipe.training.lr, recipe.description) == ("mine", 1e-3, "")
    assert recipe.folders == (tmp_path, recipes_folder())
    assert resolved(load_recipe(str(path))) == resolved(recipe)


def test_a_file_extends_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(show_recipe("quickstart"))
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ntraining: {epochs: 1}\n")
    assert load_recipe(tmp_path / "mine.yaml").training.epochs == 1


def test_a_recipe_is_extended_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: hard/sample\n")
    with pytest.raises(
        RecipeError,
        match=r"mine\.yaml:1: extends is 'hard/sample', which itself extends 'low_superv",
    ):
        load_recipe(path)
    path.write_text("extends: hard/simple\n")
    with pytest.raises(
        RecipeError, match=r"mine\.yaml:1: .*no recipe 'hard/simple'.*'hard/sample'"
    ):
        load_recipe(path)
    path.write_text("\nextends: [quickstart]\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml:2: extends is \['quickstart'\]"):
        load_recipe(path)


def test_unknown_names_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'quikstart'; did you mean 'quickstart'\?"):
        load_recipe("quikstart")
    with pytest.raises(
        RecipeError, match="no recipe 'hard/zzzzzzzz'; recipes of that name are hard/"
    ):
        load_recipe("hard/zzzzzzzz")
    with pytest.raises(RecipeError, match=r"no recipe '\.\./pyproject'"):
        load_recipe("../pyproject")
    with pytest.raises(RecipeError, match=r"there is no file '.*none\.yaml'"):
        load_recipe(tmp_path / "none.yaml")


def test_run_folder_is_named_after_the_recipe(small: dict[str, Any]) -> None:
    assert default_output(load_recipe("hard/ewt")) == "runs/hard-ewt"
    assert default_output(load_recipe(small)) == "runs/recipe"


def test_differences_ignore_what_changes_no_number(small: dict[str, Any]) -> None:
    first = load_recipe(small)
    second = load_recipe(
        {**small, "name": "other"},
        {"training.processes": 2, "training.output": "x", "training.lr": 1.0, "tasks.ner.depth": 3},
    )
    assert differences(first, second) == ["tasks.ner.depth", "training.lr"]
    assert differences(first, resolved(second)) == ["tasks.ner.depth", "training.lr"]


def test_recipes_are_copied_but_never_over_a_file(tmp_path: Path) -> None:
    path = copy_recipe("hard/sample", tmp_path)
    assert path == tmp_path / "hard-sample.yaml"
    assert differences(load_recipe(path), load_recipe("hard/sample")) == []
    assert copy_recipe("quickstart", tmp_path / "new" / "mine.yaml").read_text() == show_recipe(
        "quickstart"
    )
    with pytest.raises(RecipeError, match=r"hard-sample\.yaml exists; choose another"):
        copy_recipe("hard/sample", tmp_path)


def test_data_files_are_looked_up_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: tmp_path / name for name in ("given", "environment", "beside")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "a.conllu").touch()
    (folders["beside"] / "mine.yaml").write_text("extends: quickstart\n")
    (folders["beside"] / "only.conllu").touch()
    recipe = load_recipe(folders["beside"] / "mine.yaml")
    monkeypatch.setenv("HIERMTL_DATA", str(folders["environment"]))
    given = folders["given"]
    assert data_file("a.conllu", recipe, data_dir=given) == given / "a.conllu"
    assert data_file("only.conllu", recipe, data_dir=given) == folders["beside"] / "only.conllu"
    assert data_file("a.conllu", recipe) == folders["environment"] / "a.conllu"
    monkeypatch.delenv("HIERMTL_DATA")
    assert data_file("a.conllu", recipe) == folders["beside"] / "a.conllu"
    assert data_file(str(given / "a.conllu"), recipe) == given / "a.conllu"
    with pytest.raises(
        DataError, match=r"no file 'b\.conllu' \(looked at: .*beside/b\.conllu.*--data-dir"
    ):
        data_file("b.conllu", recipe)


def test_defaults_alone_are_a_valid_section() -> None:
    assert TrainingOptions().epochs == 6
    assert Recipe.model_fields["training"].default == TrainingOptions()


@pytest.mark.parametrize("more", [{"successive": 250}, {"successive": 400, "decoupled": False}])
def test_the_strongest_pull_is_allowed_and_a_term_of_the_loss_has_no_bound(
    small: dict[str, Any], more: dict[str, Any]
) -> None:
    given = {**small, "sampling": {"name": "bottom_up", **more}}
    assert load_recipe(given, {"training.lr": 2e-3}).sampling.name == "bottom_up"


def test_what_makes_a_recipe_is_what_it_sets_and_what_it_names(small: dict[str, Any]) -> None:
    plain = chosen(load_recipe(small))
    default = load_recipe(small).training.clip
    assert chosen(load_recipe(small, {"training.clip": default})) == plain
    assert "training.clip" not in plain
    assert chosen(load_recipe(small, {"training.clip": default + 1})) != plain
    # Kinds whose options are all left out.
    kinds = [
        chosen(load_recipe(small, {"sampling": name})) for name in ("proportional", "round_robin")
    ]
    assert kinds[0] != kinds[1]
    assert plain["corpora.sample.format"] == "sample"
    assert plain["tasks.upos.depth"] == 1
