"""Low-rank deltas beside weights that stay as they are, through the package peft.

Source: Hu et al. 2022 (LoRA: Low-Rank Adaptation of Large Language Models), section 4.1, equation
3. For each adapted matrix W, (outputs, inputs),

    h = W x + (alpha / rank) B A x        A (rank, inputs), B (outputs, rank)

of which A and B are trained; B starts at 0, where the block is the one without adapter, bit for
bit. Departs: all linear layers of a block are adapted unless `targets` says otherwise, where the
paper adapts queries and values; Dettmers et al. 2023 (QLoRA), section 4, need all of them to match
full training. A is drawn as peft draws it, Kaiming-uniform, where the paper's is normal. What a
block or the embedding has beside the pretrained parts (a projection of further inputs, casing
vectors) starts at 0 and is trained, and so is what reads states: heads, and norms of their own.
Shapes: an adapted matrix has rank (inputs + outputs) trained weights. Limits: merged into W the
deltas give the same function, up to the rounding of W + (alpha / rank) B A.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from hiermtl.dropout import replace_dropout
from hiermtl.encoders.base import Block, Embedding, Part
from hiermtl.errors import ModelError, listing, nearest

_DELTA = "default"  # peft's name of a delta that has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """What an encoder is adapted with.

    `targets` are parts of a block, none for all that are linear; `embeddings` says whether the
    embedding is trained whole instead of held.
    """

    name: ClassVar[str] = "lora"

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    embeddings: bool = False

    def config(self) -> dict[str, Any]:
        """Plain data from which `adapter_from_config` makes the same."""
        return {"name": self.name, **asdict(self), "targets": list(self.targets)}

    def adapt(self, block: Block, family: str) -> None:
        """Puts a delta beside each target, and holds what the block begins with.

        Raises ModelError for a target that blocks of the family do not have, and without peft.
        """
        try:
            import peft
        except ImportError as error:
            raise ModelError(
                f"adapter {self.name!r} is made with the package peft, which cannot be imported "
                f'({error}); install it: pip install "hiermtl[lora]"'
            ) from None
        parts = block.get_submodule("parts")
        linear = [name for name, part in parts.named_children() if isinstance(part, nn.Linear)]
        for name in self.targets:
            if name not in linear:
                raise ModelError(
                    f"adapter.targets names {name!r}, but the linear layers in blocks of encoder "
                    f"family {family!r} are {listing(linear)}{nearest(name, linear)}"
                )
        begun = set(parts.parameters())
        options = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # pyright: ignore[reportArgumentType] - only divided
            lora_dropout=self.dropout,
            target_modules=[f"parts.{name}" for name in self.targets or linear],
        )
        peft.inject_adapter_in_model(options, block, _DELTA)
        replace_dropout(block)
        block.requires_grad_(True)
        block.held = tuple(_made_of(block, begun))
        block.hold()

    def hold(self, embedding: Embedding) -> None:
        """Holds the pretrained parts of an embedding, unless they are to be trained."""
        if not self.embeddings:
            embedding.held = ("parts",)
            embedding.hold()


def adapter_from_config(config: Mapping[str, Any]) -> Lora:
    """The adapter that a saved `config()` describes.

    Raises ModelError for a name that is none.
    """
    options = {**config, "targets": tuple(config.get("targets", ()))}
    name = options.pop("name", None)
    if name != Lora.name:
        raise ModelError(f"adapter {name!r} is not known; known is {Lora.name!r}")
    return Lora(**options)


def weight_of(part: nn.Module) -> Tensor:
    """The matrix of a linear layer, with its delta if it has one."""
    weight = part.get_parameter("weight")
    delta = getattr(part, "get_delta_weight", None)
    return weight if delta is None else weight + delta(_DELTA)


def merge(part: Part) -> None:
    """Adds each delta to the weights beside it; all of the part may be trained again."""
    for parent in list(part.modules()):
        for name, layer in list(parent.named_children()):
            if hasattr(layer, "get_delta_weight"):
                layer.merge()  # pyright: ignore[reportCallIssue] - peft's
                setattr(parent, name, layer.get_submodule("base_layer"))
    vars(part).pop("peft_config", None)
    part.held = ()
    part.requires_grad_(True)


def _made_of(module: nn.Module, weights: set[nn.Parameter], path: str = "") -> Iterator[str]:
    """The outermost modules all of whose weights, and there are some, are among these."""
    own = set(module.parameters())
    if own and own <= weights:
        yield path
        return
    for name, child in module.named_children():
        yield from _made_of(child, weights, f"{path}.{name}" if path else name)
