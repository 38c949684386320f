"""Small recipes, and corpora in files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hiermtl.commands.build import Built, build
from hiermtl.commands.corpora import open_corpora
from hiermtl.recipe import Recipe, load_recipe

Word = tuple[str, str, str]
"""Form, part of speech, entity tag or nothing."""

BILSTM = {
    "name": "bilstm",
    "layers": 2,
    "hidden": 8,
    "word_width": 6,
    "ngram_width": 6,
    "ngram_buckets": 50,
}
TASKS = {
    "upos": {"depth": 1},
    "ner": {"depth": 2},
    "dep": {"depth": 2, "head": {"arc_width": 8, "label_width": 8}},
}
TRAIN: list[list[Word]] = [
    [("Ada", "PROPN", "B-PER"), ("wrote", "VERB", "O"), ("notes", "NOUN", "O")],
    [("Charles", "PROPN", "B-PER"), ("Babbage", "PROPN", "I-PER"), ("slept", "VERB", "O")],
    [("London", "PROPN", "B-LOC"), ("slept", "VERB", "O")],
    [("notes", "NOUN", "O"), ("slept", "VERB", "O"), ("well", "ADV", "O")],
]
DEV: list[list[Word]] = [
    [("Ada", "PROPN", "B-PER"), ("slept", "VERB", "O")],
    [("Hm", "INTJ", "O"), ("Acme", "PROPN", "B-ORG"), ("slept", "VERB", "O")],
]


def recipe(**changes: Any) -> dict[str, Any]:
    """A recipe as a mapping; keys of `changes` take the place of whole sections."""
    return {
        "encoder": BILSTM,
        "tasks": TASKS,
        "corpora": {"sample": {"format": "sample", "train": 40, "dev": 15, "test": 15}},
        "training": {"epochs": 2, "tokens_per_batch": 150, "warmup": 1, "precision": "fp32"},
        **changes,
    }


def built(given: Mapping[str, Any], **overrides: Any) -> tuple[Built, Recipe]:
    loaded = load_recipe(given, overrides)
    return build(loaded, open_corpora(loaded)), loaded


def conllu(path: Path, sentences: Iterable[Iterable[Word]]) -> str:
    """Writes sentences as chains, each word the dependent of the one before it."""
    lines = []
    for number, sentence in enumerate(sentences):
        lines.append(f"# sent_id = {path.stem}-{number}")
        for place, (form, upos, tag) in enumerate(sentence):
            relation = "dep" if place else "root"
            misc = f"NER={tag}" if tag else "_"
            lines.append(f"{place + 1}\t{form}\t_\t{upos}\t_\t_\t{place}\t{relation}\t_\t{misc}")
        lines.append("")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return str(path)


def of_files(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe on two small files."""
    files = {
        "format": "conllu",
        "train": conllu(folder / "train.conllu", TRAIN),
        "dev": conllu(folder / "dev.conllu", DEV),
    }
    return recipe(corpora={"own": files}, **changes)
