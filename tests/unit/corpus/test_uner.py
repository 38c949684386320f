from pathlib import Path

import pytest

from hiermtl.corpus.catalogue import CATALOGUE, missing_file_error
from hiermtl.corpus.uner import normalise_uner
from hiermtl.errors import DataError

DOCS = Path(__file__).parents[3] / "docs" / "data.md"


def test_the_prerelease_is_normalised(tmp_path: Path) -> None:
    source, target = tmp_path / "a.iob2", tmp_path / "b.iob2"
    source.write_text(
        "# text = x\n1\ta\tB-OTH\t-\tme\n2\tb\tO\n3\t.\tB-O\t-\tme\n\n1\tc\tB-PER\t-\tme\n\n"
    )
    assert normalise_uner(source, target) == 2
    assert target.read_text() == (
        "# text = x\n1\ta\tO\t-\t-\n2\tb\tO\t-\t-\n3\t.\tO\t-\t-\n\n1\tc\tB-PER\t-\t-\n\n"
    )
    source.write_text("1\ta\n")
    with pytest.raises(DataError, match="2 columns; at least number, form and tag"):
        normalise_uner(source, tmp_path / "c.iob2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.iob2", "b.iob2"]


def test_the_real_prerelease_gives_the_file_our_tables_use(
    data_folder: Path, tmp_path: Path
) -> None:
    folder = data_folder / "uner_english_ewt"
    normalise_uner(folder / "en_ewt-ud-train.prerelease-0c7ce0d.iob2.gz", tmp_path / "t")
    expected = (folder / "en_ewt-ud-train.normalized.iob2").read_bytes()
    assert (tmp_path / "t").read_bytes() == expected


def test_every_listed_corpus_is_in_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for folder, entry in CATALOGUE.items():
        assert folder == entry.folder
        assert entry.upstream in text
        for file in entry.files:
            assert f"{folder}/{file}" in text


def test_a_file_is_found_by_its_name_in_any_folder() -> None:
    error = missing_file_error("somewhere/en_ewt-ud-dev.iob2")
    assert "UNER English EWT" in str(error)
    assert "normalise_uner" in str(error)


def test_a_common_name_alone_is_no_corpus() -> None:
    assert "Banking77" not in str(missing_file_error("mine/train.csv"))
    assert "Banking77" in str(missing_file_error("data/banking77/train.csv"))
    assert "CrossRE" in str(missing_file_error("data/crossre/crossre_data/ai-dev.json"))
    assert "CrossRE" not in str(missing_file_error("data/other/crossre_data/readme"))
