"""Small worlds for the tests: an encoder, three heads, and sentences that carry some of the tasks.

Both encoder families read the same sentences. Whatever holds for a row of the tables of heads or of
sharing schemes is tested over the whole table: `TASKS` and `depths_for` take newcomers in.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, ModernBertConfig, PreTrainedTokenizerFast

from hiermtl.config import HierarchicalConfig
from hiermtl.corpus.names import PLACES
from hiermtl.encoders import BertEncoder, BiLstmEncoder, Encoder, ModernBertEncoder
from hiermtl.errors import RecipeError
from hiermtl.heads import HEADS
from hiermtl.model import HierarchicalModel
from hiermtl.records import MISSING, Batch, Example, HeadOutput
from hiermtl.sharing import SHARING
from hiermtl.tokens import Collator, PieceTokenizer, Tokenizer, WordTokenizer

FAMILIES = ("bert", "bilstm", "modernbert")
BLOCKS = 3

TASKS: dict[str, tuple[str, int]] = {
    "upos": ("tagging", 1),
    "ner": ("crf", 2),
    "dep": ("biaffine", 3),
}
"""Name to kind of head and depth; each further row of the table of heads that gives words a label
each is a task at depth 2. Those that judge groups are tested in `tests/property/test_groups.py`."""
TASKS.update(
    {
        kind: (kind, 2)
        for kind, head in HEADS.items()
        if kind not in {kind for kind, _ in TASKS.values()}
        and head.unit == "word"
        and head.layer not in PLACES
    }
)

UPPER: dict[str, tuple[str, int]] = {
    "span": ("span", 2),
    "roles": ("roles", 3),
    "relation": ("relation", 3),
}
"""The same of heads that find items among the words; tested in `tests/property/test_items.py`."""

LABELS: dict[str, tuple[str, ...]] = {
    "tags": ("O", "B-A", "I-A", "B-B", "I-B"),
    "edits": ("l||", "l||-", "=||"),
    "tree": ("root", "subj", "mod"),
    "spans": ("person", "place"),
    "relations": ("in", "of"),
    "frames": ("ARG0", "ARG1", "V:l||", "V:l||-"),
}
"""The label inventory for each kind of annotation a head is trained on (`Head.layer`)."""

SENTENCES = (
    ("abc", "de", "f", "ghij", "k"),
    ("t",),
    ("lmn", "op", "q"),
    ("a", "b", "c", "d", "e", "fgh", "ij"),
    ("rst", "k", "de"),
    ("Zed", "op"),
)
ALL = tuple(TASKS)
RAGGED: tuple[tuple[str, ...], ...] = (ALL, ("upos",), (), ("upos", "ner"), ("dep",), ALL)
"""Which tasks each of `SENTENCES` has gold for."""


def labels_of(kind: str) -> tuple[str, ...]:
    return LABELS[HEADS[kind].layer]


def gold_tags(words: int, labels: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    return {"labels": random.integers(labels, size=words)}


def gold_tree(words: int, labels: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    order = random.permutation(words)
    heads = np.zeros(words, dtype=np.int64)
    for place in range(1, words):
        heads[order[place]] = order[random.integers(place)] + 1
    return {"heads": heads, "relations": random.integers(labels, size=words)}


GOLD: dict[str, Callable[[int, int, np.random.Generator], dict[str, np.ndarray]]] = {
    "tags": gold_tags,
    "edits": gold_tags,
    "tree": gold_tree,
}


def spans_in(words: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Up to three that do not cross, each once; at least one."""
    middle = int(random.integers(words)) + 1
    return sorted({(0, words), (0, middle), (middle - 1, middle)})


def gold_spans(words: int, labels: int, random: np.random.Generator) -> np.ndarray:
    spans = spans_in(words, random)
    return np.array([(*span, random.integers(labels)) for span in spans], dtype=np.int64)


def gold_relations(words: int, labels: int, random: np.random.Generator) -> np.ndarray:
    """Between the first and the last of spans as `gold_spans` makes them, where they are two."""
    spans = spans_in(words, random)
    pairs = [(spans[0], spans[-1]), (spans[-1], spans[0])] if len(spans) > 1 else []
    rows = [(*one, *other, random.integers(labels)) for one, other in pairs]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def gold_frames(words: int, labels: int, random: np.random.Generator) -> np.ndarray:
    """One predicate with two arguments at most; the last two labels are its senses."""
    at = int(random.integers(words))
    rows = [(at, at, at + 1, int(random.integers(labels - 2, labels)))]
    rows += [(at, *span, random.integers(labels - 2)) for span in ((0, at), (at + 1, words))]
    return np.array([row for row in rows if row[1] < row[2]], dtype=np.int64)


ITEMS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "spans": gold_spans,
    "relations": gold_relations,
    "frames": gold_frames,
}
"""For kinds of annotation that are items among the words (`Example.items`)."""

READS = {"relation": "span"}
"""The task that a head of that kind reads."""


@cache
def piece_backend() -> PreTrainedTokenizerFast:
    """Single characters as pieces: `abc` is a, ##b, ##c; what holds another letter is unknown."""
    letters = "abcdefghijklmnopqrst"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    backend = Backend(models.WordPiece({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def bert_config(*, blocks: int = BLOCKS, limit: int = 64, dropout: float = 0.0) -> BertConfig:
    return BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=limit,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def modernbert_config(*, blocks: int, limit: int, dropout: float) -> ModernBertConfig:
    """Pre-norm; every second block reads a window."""
    return ModernBertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=limit,
        global_attn_every_n_layers=2,
        local_attention=6,
        embedding_dropout=dropout,
        attention_dropout=dropout,
        mlp_dropout=dropout,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
    )


def make_tokenizer(family: str, *, limit: int = 64) -> Tokenizer:
    if family != "bilstm":
        return PieceTokenizer(piece_backend(), limit, casing=True)
    vocabulary = WordTokenizer.count_words(SENTENCES, 2)
    return WordTokenizer(vocabulary, 50, sizes=(2, 3))


def make_encoder(
    family: str,
    *,
    blocks: int = BLOCKS,
    limit: int = 64,
    dropout: float = 0.0,
    adapter: Mapping[str, object] | None = None,
) -> Encoder:
    if family == "bert":
        config = bert_config(blocks=blocks, limit=limit, dropout=dropout)
        return BertEncoder(config, casing=True, adapter=adapter)
    if family == "modernbert":
        config = modernbert_config(blocks=blocks, limit=limit, dropout=dropout)
        return ModernBertEncoder(config, casing=True, adapter=adapter)
    assert family == "bilstm", f"no small encoder of family {family!r} is made here"
    return BiLstmEncoder(
        layers=blocks,
        hidden=8,
        word_width=6,
        ngram_width=5,
        vocabulary=len(WordTokenizer.count_words(SENTENCES, 2)),
        buckets=50,
        word_dropout=dropout,
        dropout=dropout,
    )


@dataclass(frozen=True)
class World:
    """A model and all that turns sentences into its batches."""

    model: HierarchicalModel
    tokenizer: Tokenizer

    def batch(
        self,
        examples: Sequence[Example],
        tasks: Iterable[str] | None = None,
        *,
        flat: bool = True,
    ) -> Batch:
        return Collator(self.tokenizer, self.model.routes.depths(), flat=flat)(examples, tasks)

    def examples(
        self,
        sentences: Sequence[Sequence[str]] = SENTENCES,
        annotated: Sequence[Iterable[str]] = RAGGED,
        *,
        missing: float = 0.0,
    ) -> list[Example]:
        """Gold depends on a sentence's place alone; `missing` is the share of words left out."""
        encoded = self.tokenizer.encode(sentences)
        examples = []
        for index, words in enumerate(sentences):
            gold, items = {}, {}
            for task in annotated[index % len(annotated)]:
                if task not in self.model.hierarchy:
                    continue
                head = self.model.head(task)
                seed = READS.get(task, task)  # so that both are of the same spans
                random = np.random.default_rng([index, sum(map(ord, seed))])
                if head.layer in ITEMS:
                    gold[task] = {}
                    items[task] = ITEMS[head.layer](len(words), len(head.labels), random)
                    continue
                gold[task] = GOLD[head.layer](len(words), len(head.labels), random)
                left_out = random.random(len(words)) < missing
                for values in gold[task].values():
                    values[left_out] = MISSING
            arrays = {name: encoded[name][index] for name in self.tokenizer.features}
            pieces, counts = arrays.pop("pieces"), arrays.pop("piece_counts")
            examples.append(Example(pieces, counts, arrays, gold, index, items))
        return examples

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.model.losses(batch, self.model(batch))

    def gradients(self, loss: Tensor) -> dict[str, Tensor | None]:
        """The gradient of each parameter, `None` where nothing depends on it."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        return {n: None if p.grad is None else p.grad.clone() for n, p in self.parameters().items()}

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())


def make_config(
    encoder: Encoder,
    sharing: str | Mapping[str, object] = "low_supervision",
    *,
    depths: Mapping[str, int],
    dropout: float = 0.0,
) -> HierarchicalConfig:
    tasks = {}
    for name, depth in depths.items():
        kind = (TASKS | UPPER)[name][0]
        options = (
            {"dropout": dropout} if "dropout" in inspect.signature(HEADS[kind]).parameters else {}
        )
        if kind == "biaffine":
            options |= {"arc_width": 6, "label_width": 4}
        if kind in ("span", "roles", "relation"):
            options |= {"size": 4}
        if kind in READS:
            read = READS[kind]
            if read not in depths:
                continue
            options |= {"reads": {read: len(labels_of(read))}}
        tasks[name] = {
            "depth": depth,
            "head": kind,
            "labels": list(labels_of(kind)),
            "options": options,
        }
    chosen = {"name": sharing} if isinstance(sharing, str) else dict(sharing)
    return HierarchicalConfig(encoder.config(), tasks, chosen)


def make_world(
    family: str,
    sharing: str | Mapping[str, object] = "low_supervision",
    *,
    depths: Mapping[str, int] | None = None,
    seed: int = 0,
    dropout: float = 0.0,
    limit: int = 64,
    blocks: int = BLOCKS,
    dtype: torch.dtype = torch.float64,
    spread: float = 0.2,
    adapter: Mapping[str, object] | None = None,
) -> World:
    """A model in evaluation mode; `spread` moves every parameter, so that none is left at zero."""
    encoder = make_encoder(family, blocks=blocks, limit=limit, dropout=dropout, adapter=adapter)
    if depths is None:
        depths = depths_for(str(sharing["name"] if isinstance(sharing, Mapping) else sharing))
    config = make_config(encoder, sharing, depths=depths, dropout=dropout)
    model = HierarchicalModel(config, encoder, seed=seed).to(dtype).eval()
    if spread:
        randomise(model.named_parameters(), spread=spread)
    return World(model, make_tokenizer(family, limit=limit))


def randomise(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], *, spread: float = 0.2, seed: int = 0
) -> None:
    """Moves each parameter by normal noise that depends on its name and the seed."""
    for name, parameter in parameters:
        random = np.random.default_rng([seed, *name.encode()])
        noise = torch.from_numpy(random.normal(size=parameter.shape)).to(parameter)
        with torch.no_grad():
            parameter.add_(spread * noise)


def depths_for(sharing: str) -> dict[str, int]:
    """Depths of their own where the scheme takes them, otherwise all tasks at the top."""
    depths = {task: depth for task, (_, depth) in TASKS.items()}
    encoder = make_encoder("bilstm")
    try:
        config = make_config(encoder, sharing, depths=depths)
        SHARING[sharing](config.hierarchy(), encoder.widths, labels=dict.fromkeys(depths, 3))
    except RecipeError:
        return dict.fromkeys(depths, BLOCKS)
    return depths


def theta(model: HierarchicalModel, task: str) -> set[str]:
    """The names of the parameters that a task depends on by the scheme's structure.

    Of a lower task's chain nothing is read: what is fed upwards are the label probabilities of each
    word. Of one whose spans are read no loss of the reader tells.
    """
    route = model.routes[task]
    told = route.tasks - (set(model.lower[task]) if model.head(task).reads_layer else set())
    prefixes = [f"{part}.{name}." for name in told for part in ("heads", "taps")]
    for depth, branch in route.raw:
        where = f"blocks.{depth}.{branch}" if depth else f"embeddings.{branch}"
        prefixes.append(f"stack.{where}.")
    chains = tuple(
        f"heads.{lower}.{part}"
        for lower in route.tasks - {task}
        for part in ("transitions", "start", "end")
    )
    names = (name for name, _ in model.named_parameters() if name not in chains)
    return {name for name in names if name.startswith(tuple(prefixes))}


def per_sentence(batch: Batch, output: HeadOutput) -> dict[int, dict[str, Tensor]]:
    """Place in the list of examples to the sentence's word scores."""
    ends = np.cumsum(output.layout.word_counts)
    found = {}
    for sentence, end, count in zip(output.sentences, ends, output.layout.word_counts, strict=True):
        words = {n: s for n, s in output.scores.items() if not n.startswith("root_")}
        scores = {n: s[end - count : end] for n, s in words.items()}
        found[int(batch.order[sentence])] = scores
    return found


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor], *, atol: float = 0.0) -> bool:
    """Whether two families of tensors agree, bit for bit unless a tolerance is given."""
    return left.keys() == right.keys() and all(
        torch.equal(left[n], right[n])
        if not atol
        else torch.allclose(left[n], right[n], rtol=0, atol=atol)
        for n in left
    )


def assert_same(
    left: Mapping[str, Tensor], right: Mapping[str, Tensor], *, atol: float = 0.0
) -> None:
    """As `same`, and says which tensors differ and by how much."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(
            value, right[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


def save_and_load(world: World, folder: Path) -> World:
    """The world with a model read back from a folder.

    Loaded tensors lie in the file's memory, aligned by chance; a copy of its own lets each product
    be computed as before, to the last bit.
    """
    world.model.save_pretrained(folder)
    model = HierarchicalModel.from_pretrained(folder, dtype=world.model.dtype).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return World(model, world.tokenizer)


class Calls:
    """Counts how often each block copy runs and on how many units."""

    def __init__(self, model: HierarchicalModel) -> None:
        self.units: dict[tuple[int, str], list[int]] = {}
        self._handles = []
        for depth, copies in model.stack.blocks.items():
            for branch, block in copies.named_children():
                hook = self._hook(int(depth), branch)
                self._handles.append(block.register_forward_hook(hook))

    def _hook(self, depth: int, branch: str) -> Callable[..., None]:
        def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.units.setdefault((depth, branch), []).append(len(output))

        return count

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
