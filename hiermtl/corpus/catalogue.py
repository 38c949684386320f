"""The corpora our recipes name: where each comes from, its licence, and the files expected of it.

Nothing here is shipped. Files lie under `--data-dir` or the environment's HIERMTL_DATA, in the
folders named here.
"""

from dataclasses import dataclass
from pathlib import Path

from hiermtl.errors import DataError


@dataclass(frozen=True, slots=True)
class Entry:
    """A corpus: upstream and version, licence, folder, files, and what to know beforehand."""

    name: str
    upstream: str
    version: str
    licence: str
    folder: str
    files: tuple[str, ...]
    note: str = ""

    def lines(self) -> list[str]:
        """The entry as lines to print."""
        out = [
            f"{self.name}: from {self.upstream} ({self.version}), licence {self.licence}",
            f"expected: {', '.join(f'{self.folder}/{file}' for file in self.files)}",
        ]
        return [*out, self.note] if self.note else out


CATALOGUE: dict[str, Entry] = {
    entry.folder: entry
    for entry in (
        Entry(
            "UD English EWT",
            "https://github.com/UniversalDependencies/UD_English-EWT",
            "UD 2.16, commit 15d613d",
            "CC BY-SA 4.0",
            "ud_english_ewt",
            tuple(f"en_ewt-ud-{split}.conllu" for split in ("train", "dev", "test")),
        ),
        Entry(
            "UNER English EWT",
            "https://github.com/UniversalNER/UNER_English-EWT",
            "dev and test commit 8ed072d, train pre-release commit 0c7ce0d",
            "CC BY-SA 4.0",
            "uner_english_ewt",
            ("en_ewt-ud-train.normalized.iob2", "en_ewt-ud-dev.iob2", "en_ewt-ud-test.iob2"),
            "The train file is a pre-release, normalised: `hiermtl.corpus.uner.normalise_uner` "
            "makes it from upstream's.",
        ),
        Entry(
            "UD Swedish Talbanken",
            "https://github.com/UniversalDependencies/UD_Swedish-Talbanken",
            "commit 3006721",
            "CC BY-SA 4.0",
            "ud_swedish_talbanken",
            tuple(f"sv_talbanken-ud-{split}.conllu" for split in ("dev", "test")),
        ),
        Entry(
            "UNER Swedish Talbanken",
            "https://github.com/UniversalNER/UNER_Swedish-Talbanken",
            "commit dbb6920",
            "CC BY-SA 4.0",
            "uner_swedish_talbanken",
            tuple(f"sv_talbanken-ud-{split}.iob2" for split in ("train", "dev", "test")),
            "Joined to UD by position: its sentence ids differ.",
        ),
        Entry(
            "UD Chinese GSDSimp",
            "https://github.com/UniversalDependencies/UD_Chinese-GSDSimp",
            "commit eb3aed3",
            "CC BY-SA 4.0",
            "ud_chinese_gsdsimp",
            tuple(f"zh_gsdsimp-ud-{split}.conllu" for split in ("dev", "test")),
        ),
        Entry(
            "UNER Chinese GSDSimp",
            "https://github.com/UniversalNER/UNER_Chinese-GSDSIMP",
            "commit 1f03075",
            "CC BY-SA 4.0",
            "uner_chinese_gsdsimp",
            tuple(f"zh_gsdsimp-ud-{split}.iob2" for split in ("train", "dev", "test")),
            "Joined to UD by position: its sentence ids differ.",
        ),
        Entry(
            "UD English GUM",
            "https://github.com/UniversalDependencies/UD_English-GUM",
            "UD 2.16 (GUM 11), commit afb41ee",
            "CC BY-NC-SA 4.0 (not for commercial use)",
            "ud_english_gum",
            tuple(f"en_gum-ud-{split}.conllu" for split in ("train", "dev", "test")),
        ),
        Entry(
            "WNUT 2017",
            "https://github.com/leondz/emerging_entities_17",
            "commit e52a2d2",
            "CC BY 4.0",
            "wnut17",
            ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
            "`O`, `B-` and `I-` tags stand in column 1, words in column 0.",
        ),
        Entry(
            "PropBank English EWT",
            "https://github.com/propbank/propbank-release",
            "commit 4abade0, with EWT's words",
            "CC BY-SA 4.0",
            "propbank_english_ewt",
            tuple(f"en_ewt-pb-{split}.tsv" for split in ("train", "dev", "test")),
        ),
        Entry(
            "Chunks of English EWT",
            "https://github.com/propbank/propbank-release",
            "derived from the brackets of commit 4abade0",
            "CC BY-SA 4.0",
            "chunks_english_ewt",
            tuple(f"en_ewt-chunk-{split}.tsv" for split in ("train", "dev", "test")),
            "`hiermtl.text.propbank.chunks_from_propbank` makes such files; words stand in column "
            "1, chunks in column 3.",
        ),
        Entry(
            "CrossRE",
            "https://github.com/mainlp/CrossRE",
            "commit a58885f",
            "GPL-3.0 (of the repository)",
            "crossre/crossre_data",
            tuple(
                f"{domain}-{split}.json"
                for domain in ("ai", "literature", "music", "politics", "science")
                for split in ("train", "dev", "test")
            ),
        ),
        Entry(
            "SemEval-2010 task 8",
            "https://github.com/davidsbatista/Annotated-Semantic-Relationships-Datasets",
            "commit ad883cb",
            "CC BY 3.0",
            "semeval2010_task8",
            ("TRAIN_FILE.TXT", "TEST_FILE_FULL.TXT"),
        ),
        Entry(
            "SICK",
            "https://github.com/kkalouli/SICK-processing",
            "commit 0848f4a",
            "CC BY-NC-SA 3.0 (not for commercial use)",
            "sick",
            ("SICK.txt",),
        ),
        Entry(
            "Banking77",
            "https://github.com/PolyAI-LDN/task-specific-datasets",
            "commit 57ec275",
            "CC BY 4.0",
            "banking77",
            ("train.csv", "test.csv"),
        ),
    )
}


def _entry(path: Path) -> Entry | None:
    """The corpus a file belongs to by its folder, or by its name where that says enough."""
    for folder, entry in CATALOGUE.items():
        if path.parent.parts[-folder.count("/") - 1 :] == Path(folder).parts:
            return entry
    if path.stem in ("train", "dev", "test"):
        return None
    return next((entry for entry in CATALOGUE.values() if path.name in entry.files), None)


def missing_file_error(path: str | Path) -> DataError:
    """The error for a file that is not there, with its entry in the catalogue if it has one."""
    path = Path(path)
    entry = _entry(path)
    if entry is None:
        advice = "check the name, and the folder given by --data-dir or HIERMTL_DATA"
        return DataError(f"no such file; {advice}", path)
    listed = "\n  ".join(entry.lines())
    advice = "put it there, or give the folder that holds it by --data-dir or HIERMTL_DATA"
    return DataError(f"no such file; {advice}\n  {listed}", path)
