"""Recipe text to plain data: YAML read safely, numbers as people write them, a line per key.

Departs from PyYAML's safe loader: `4e-4`, `1e-3` and `.5` are numbers; only `true` and `false` are
booleans (`on`, `no` and `NO` are text); dates and `1:30` are text; a key given twice, a tag and an
anchor inside itself are errors.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from hiermtl.errors import RecipeError

KeyPath: TypeAlias = tuple[str, ...]
"""Keys from the top of a recipe; items of a list are `"0"`, `"1"`, ..."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and the line (from 1) on which each key stands."""

    data: dict[str, object]
    lines: dict[KeyPath, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser with the scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - add_implicit_resolver copies it before it writes


_PREFIX = "tag:yaml.org,2002:"
_INT = r"[-+]?[0-9]+"
_FLOAT = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# The first pattern that matches wins, so whole numbers come before the other numbers.
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(f"^(?:{_pattern})$"), _first)


def read_file(path: Path, what: str = "recipe") -> Document:
    """The recipe in a file, or `what` it is to be; RecipeError, with line and column, if not."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RecipeError(
            f"{path}: the {what} cannot be read: {reason}; name a YAML file that exists"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path}: byte {error.start} is not UTF-8; save the {what} as UTF-8 text"
        ) from error
    return read_text(text, source=str(path), what=what)


def read_text(text: str, *, source: str, what: str = "recipe") -> Document:
    """The recipe in a text; `source` is the file name that errors begin with."""
    reader = _Reader(source)
    node = reader.compose(text)
    if node is None:
        return Document({})
    data = reader.plain(node, ())
    if not isinstance(data, dict):
        place = reader.place(node)
        raise RecipeError(f"{place}: a {what} is a mapping of keys to values, not {data!r}")
    return Document(data, reader.lines)


def read_value(text: str, *, source: str = "value") -> object:
    """One value, read as inside a recipe: `2` is a number, `[a, b]` a list, `50%` text."""
    reader = _Reader(source)
    node = reader.compose(text)
    return None if node is None else reader.plain(node, ())


class _Reader:
    """Turns YAML nodes into plain data, and remembers on which line each key stood."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[KeyPath, int] = {}
        self._open: list[yaml.Node] = []

    def compose(self, text: str) -> yaml.Node | None:
        """The only document of the text, or `None` when there is nothing but comments."""
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{mark.line + 1}:{mark.column + 1}: " if mark else ""
            problem = ", ".join(filter(None, (error.context, error.problem)))
            raise RecipeError(f"{self.source}:{place}{problem}") from error
        except RecursionError:
            raise RecipeError(
                f"{self.source}: too many lists or mappings lie inside each other to be read; "
                "close those that are open"
            ) from None
        except yaml.YAMLError as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(f"{self.source}: not readable as YAML: {reason}") from error

    def place(self, node: yaml.Node) -> str:
        """`file:line:column` of a node."""
        mark = node.start_mark
        return f"{self.source}:{mark.line + 1}:{mark.column + 1}"

    def plain(self, node: yaml.Node, path: KeyPath) -> object:
        """The node as dictionaries, lists, text, numbers, booleans and `None`."""
        if any(node is other for other in self._open):
            raise RecipeError(f"{self.place(node)}: an anchor cannot be used inside itself")
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
                return self._sequence(node, path)
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node)
        finally:
            self._open.pop()
        raise self._tagged(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(
                    f"{self.place(key_node)}: a key is one word, not a list or mapping"
                )
            # The text as written: `no:` and `1:` are labels or names, never booleans or numbers.
            key = key_node.value
            if key in found:
                first = self.lines[(*path, key)]
                raise RecipeError(
                    f"{self.place(key_node)}: the key {key!r} is given twice (first on line "
                    f"{first}); remove one of them"
                )
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = self.plain(value_node, (*path, key))
        return found

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[object]:
        found = []
        for index, item in enumerate(node.value):
            self.lines[(*path, str(index))] = item.start_mark.line + 1
            found.append(self.plain(item, (*path, str(index))))
        return found

    def _scalar(self, node: yaml.ScalarNode) -> object:
        kind, text = node.tag.removeprefix(_PREFIX), node.value
        try:
            match kind:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text)
                case "float":
                    return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
        except (ValueError, KeyError) as error:
            raise RecipeError(
                f"{self.place(node)}: {text!r} is not a value of type {kind}"
            ) from error
        raise self._tagged(node)

    def _tagged(self, node: yaml.Node) -> RecipeError:
        return RecipeError(
            f"{self.place(node)}: the tag {node.tag!r} is not allowed; a recipe holds text, "
            "numbers, true and false, lists and mappings"
        )
