"""Runs the README and the pages under `docs/` where they stand.

Python blocks of a page run in order, in one namespace and in a folder of their own. Lines of
console blocks that call `hiermtl` must name a command that exists, with arguments it takes, recipes
that are shipped and keys that these have. A YAML block is a grid, a corpus, a launcher's
configuration or else keys of a recipe, laid over a shipped one where it has no tasks or no corpora.
A comment directly before a block changes that:

    <!-- test: run -->            run the `hiermtl` lines of a console block for real
    <!-- test: parse -->          only check what can be checked without running
    <!-- test: recipe -->         the YAML block is a whole, valid recipe
    <!-- test: skip REASON -->    it cannot run here; the reason is mandatory

Also what is skipped is read: its Python must compile, and what it takes of hiermtl must be there
and take the arguments that are given; its calls are checked as all others are.
"""

import ast
import importlib
import inspect
import itertools
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import TypeAdapter
from typer.main import get_command

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
    for page in ROOT.glob(pattern)
)
VERBS = {
    "python": ("run", "parse", "skip"),
    "console": ("parse", "run", "skip"),
    "yaml": ("parse", "recipe", "skip"),
}
LANGUAGES = {
    **dict.fromkeys(("python", "py"), "python"),
    **dict.fromkeys(("console", "bash", "sh", "shell"), "console"),
    **dict.fromkeys(("yaml", "yml"), "yaml"),
}
SKIP = "<!-- test: skip it needs a cluster -->\n"
LAUNCHER = "```yaml\ncompute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\n"
# What a block of YAML with only some keys of a recipe is laid over.
BASE = {"tasks": {"upos": {"depth": 1}}, "corpora": {"sample": {"format": "sample"}}}
DIRECTIVE = re.compile(r"<!--\s*test:\s*(\S*)\s*(.*?)\s*-->", re.DOTALL)
# Folders of one machine: no path of a page may start with them.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/{1,3}(?:home|opt|root|tmp|work)/?(?![\w-])")


class PageError(Exception):
    """A page says something that does not hold; the message starts with the place."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and text, and what the test does with it."""

    place: str
    line: int
    language: str
    text: str
    verb: str


def tokens_of(page: Path) -> list[Token]:
    return MarkdownIt().parse(page.read_text(encoding="utf-8"))


def blocks_of(page: Path) -> Iterator[Block]:
    directive: tuple[str, str, str] | None = None
    for token in tokens_of(page):
        line = (token.map or [0])[0] + 1
        place = f"{page.name}:{line}"
        if token.type == "fence":
            name = (token.info.split() or [""])[0]
            language = LANGUAGES.get(name, "")
            if directive and not language:
                raise PageError(f"{directive[0]}: blocks of language {name!r} are not tested")
            if language:
                verbs = VERBS[language]
                verb, reason = directive[1:] if directive else (verbs[0], "")
                if verb not in verbs:
                    raise PageError(f"{place}: {verb!r} is none of {', '.join(verbs)}")
                if (verb == "skip") != bool(reason):
                    raise PageError(f"{place}: 'skip' needs a reason, and only 'skip' takes one")
                yield Block(place, line, language, token.content, verb)
            directive = None
        elif token.type == "html_block" and (match := DIRECTIVE.search(token.content)):
            if directive:
                raise PageError(f"{directive[0]}: no block follows this directive")
            directive = (place, *match.groups())
        elif directive and token.type != "list_item_close":
            raise PageError(f"{directive[0]}: no block follows this directive")
    if directive:
        raise PageError(f"{directive[0]}: no block follows this directive")


def links_of(page: Path) -> Iterator[str]:
    for token in tokens_of(page):
        for part in token.children or [token]:
            if link := part.attrGet("href") or part.attrGet("src"):
                yield str(link)
            if part.type in ("html_block", "html_inline"):
                yield from re.findall(r"""\b(?:href|src)=["']([^"']+)""", part.content)


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of every call of `hiermtl`, without prompts, pipes and redirections."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="<>|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        targets = False
        for word in [*lexer, ";"]:
            if set(word) <= set("<>"):
                targets = True
            elif set(word) <= set("|&;"):
                if (arguments := arguments_of(words)) is not None:
                    yield arguments
                words = []
            elif targets:
                targets = False
            else:
                words.append(word)


def arguments_of(words: list[str]) -> list[str] | None:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if words[:1] == ["hiermtl"]:
        return words[1:]
    for start, pair in enumerate(itertools.pairwise(words)):
        if pair == ("-m", "hiermtl"):
            return words[start + 2 :]
    return None


def check_arguments(place: str, arguments: list[str]) -> tuple[str, dict[str, object]]:
    """The command and the values of its arguments; none where it answers and leaves."""
    from hiermtl.cli import app

    said = f"{place}: hiermtl {shlex.join(arguments)}"
    command, name, context = get_command(app), "hiermtl", None
    try:
        while True:
            context = command.make_context(name, list(arguments), parent=context)
            if not hasattr(command, "resolve_command"):
                return name, context.params
            arguments = [*getattr(context, "_protected_args", []), *context.args]
            if not arguments:
                if getattr(command, "invoke_without_command", False):
                    return name, context.params
                raise PageError(f"{said}: a command is missing")
            _, command, arguments = command.resolve_command(context, arguments)
            name = str(command.name)
    except typer.Exit:
        return name, {}  # --help and --version answer and leave
    except PageError:
        raise
    except Exception as error:  # the parser's errors have no public base class
        message = getattr(error, "format_message", error.__str__)()
        raise PageError(f"{said}: {message}") from error


def check_recipe(command: str, values: dict[str, object], folder: Path) -> None:
    """That a recipe which a call names is shipped and has the keys that are set."""
    from hiermtl.cli.arguments import read_overrides
    from hiermtl.pretrained.finding import find_model
    from hiermtl.recipe import load_recipe, recipe_names

    named = values.get("recipe")
    if command in ("show", "copy"):
        named = values["name"]
    model = values.get("model")
    if isinstance(model, str):
        if command == "probe" and model in recipe_names():
            named = model  # of a recipe the encoder is probed
        elif "/" not in model and not model.isupper() and not (folder / model).exists():
            find_model(model)  # neither a run's folder nor one of the hub: it is shipped
    if not isinstance(named, str) or named.isupper():
        return
    file = named.endswith((".yaml", ".yml"))
    if file and not (folder / named).exists():
        return
    overrides = values.get("overrides") or []
    assert isinstance(overrides, list)
    load_recipe(folder / named if file else named, read_overrides(overrides))


def run_command(place: str, arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hiermtl", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = f"{place}: hiermtl {shlex.join(arguments)}"
        raise PageError(f"{said}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


class Names(ast.NodeVisitor):
    """Holds what a page's blocks take of hiermtl against what there is, without running them."""

    def __init__(self) -> None:
        self.known: dict[str, object] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] == "hiermtl":
                module = importlib.import_module(alias.name)
                root = module if alias.asname else importlib.import_module("hiermtl")
                self.known[alias.asname or "hiermtl"] = root

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if (node.module or "").split(".")[0] == "hiermtl":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                self.known[alias.asname or alias.name] = getattr(module, alias.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.found(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.found(node.func)
        starred = any(isinstance(one, ast.Starred) for one in node.args)
        if called is not None and not starred and all(one.arg for one in node.keywords):
            given = {str(one.arg): None for one in node.keywords}
            inspect.signature(called).bind(*node.args, **given)
        self.generic_visit(node)

    def found(self, node: ast.expr) -> Any:
        """What of hiermtl a dotted name is; `None` for other names and what only a run tells."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id)
        if not isinstance(node, ast.Attribute) or (owner := self.found(node.value)) is None:
            return None
        return getattr(owner, node.attr)


def check_python(block: Block, namespace: dict[str, object], names: Names) -> None:
    try:
        # The empty lines make a traceback point into the page.
        code = compile("\n" * block.line + block.text, block.place, "exec")
        names.visit(ast.parse(block.text))
        if block.verb == "run":
            exec(code, namespace)
    except Exception as error:
        raise PageError(f"{block.place}: {type(error).__name__}: {error}") from error


def check_console(block: Block, folder: Path) -> None:
    try:
        calls = list(command_lines(block.text))
    except ValueError as error:
        raise PageError(f"{block.place}: {error}") from error
    if block.verb == "run" and not calls:
        raise PageError(f"{block.place}: no line of this block calls hiermtl")
    for arguments in calls:
        command, values = check_arguments(block.place, arguments)
        try:
            check_recipe(command, values, folder)
        except Exception as error:
            raise PageError(f"{block.place}: hiermtl {shlex.join(arguments)}: {error}") from error
        if block.verb == "run":
            run_command(block.place, arguments, folder)


def check_yaml(block: Block, folder: Path) -> None:
    from hiermtl.recipe import Recipe, load_recipe
    from hiermtl.recipe.grid import load_grid
    from hiermtl.recipe.loader import read_file

    file = folder / f"block-{block.line}.yaml"
    file.write_text(block.text, encoding="utf-8")
    try:
        data = yaml.safe_load(block.text)
        if block.verb == "recipe":
            load_recipe(file)
        elif "compute_environment" in data:
            check_launcher(file, data)
        elif "arms" in data:
            grid = load_grid(file)
            for arm, options in grid.arms.items():
                if not options.recipe.endswith((".yaml", ".yml")):
                    for changes in grid.tune or ({},):
                        grid.recipe(arm, changes)
        elif "format" in data:
            corpora = TypeAdapter(Recipe.model_fields["corpora"].rebuild_annotation())
            corpora.validate_python({"piece": {"train": "FILE", **read_file(file).data}})
        else:
            piece = read_file(file).data
            base = {} if "extends" in piece else {**BASE}
            if "corpora" in piece:
                del base["corpora"]
            if any(not task.get("auxiliary") for task in data.get("tasks", {}).values()):
                del base["tasks"]
            load_recipe(piece, under=base)
    except Exception as error:
        raise PageError(f"{block.place}: {type(error).__name__}: {error}") from error


def check_launcher(file: Path, data: dict[str, Any]) -> None:
    """That a configuration of `accelerate launch` holds only what that knows."""
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    load_config_from_file(str(file))
    known = {action.dest for action in launch_command_parser()._actions}
    if unknown := set(data.get("fsdp_config", ())) - known:
        raise ValueError(f"accelerate knows no {', '.join(sorted(unknown))}")


def check_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and checks every block of a page inside a folder."""
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look themselves up
    monkeypatch.chdir(folder)
    (folder / "DATA").mkdir(exist_ok=True)
    names = Names()
    for block in blocks_of(page):
        if block.language == "python":
            check_python(block, module.__dict__, names)
        elif block.language == "console":
            check_console(block, folder)
        else:
            check_yaml(block, folder)


def check_prose(page: Path) -> None:
    """Checks that relative links lead to files and that no path belongs to one machine."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if found := MACHINE_PATH.search(line):
            raise PageError(f"{page.name}:{number}: {found[0]!r} is a path of one machine")
    for link in links_of(page):
        target = link.partition("#")[0]
        if (
            target
            and not re.match(r"[a-z][a-z+.-]*:", target)
            and not (page.parent / target).exists()
        ):
            raise PageError(f"{page.name}: the link {link!r} leads to no file")


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_blocks_of_the_page_hold(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_page(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_and_paths_of_the_page_hold(page: Path) -> None:
    check_prose(page)


def test_every_public_name_stands_in_the_reference() -> None:
    import hiermtl

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(set(hiermtl.__all__) - {"__version__"})


def test_there_are_pages() -> None:
    assert ROOT / "docs" / "index.md" in PAGES


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    return tmp_path / "made_up.md"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nassert 1 == 2\n```", r"made_up\.md:1: AssertionError"),
        ("```python\nx = 1\n```\n\n```python\nprint(y)\n```", r"made_up\.md:5: NameError"),
        ("<!-- test: parse -->\n```python\n1 +\n```", "SyntaxError"),
        ("1. A list\n\n   ```python\n   1 / 0\n   ```", "made_up.md:3: ZeroDivisionError"),
        ("```yaml\na: [1\n```", "ParserError"),
        ("```yaml\nsharring: hard\n```", "sharring is not a key"),
        ("```yaml\nformat: columns\ncolums: {ner: 2}\n```", "colums\n  is not a key"),
        ("```yaml\narms: {a: {recipe: hard/sampel}}\n```", "hard/sampel"),
        ("```yaml\narms: {a: {recipe: hard/sample, set: {trainin: 1}}}\n```", "trainin"),
        (f"{LAUNCHER}num_machine: 1\n```", "unknown keys .*num_machine"),
        (f"{LAUNCHER}fsdp_config: {{fsdp_versoin: 2}}\n```", "knows no fsdp_versoin"),
        (f"{SKIP}```python\n1 +\n```", "made_up.md:2: SyntaxError"),
        (f"{SKIP}```python\nimport hiermtl\nhiermtl.laod('a')\n```", "no attribute 'laod'"),
        (
            f"{SKIP}```python\nimport hiermtl\nhiermtl.load('a', revison='b')\n```",
            "unexpected keyword argument 'revison'",
        ),
        (f"{SKIP}```python\nfrom hiermtl import Pears\n```", "no attribute 'Pears'"),
        (f"{SKIP}```python\nimport hiermtl.onxx\n```", "No module named 'hiermtl.onxx'"),
        (f"{SKIP}```console\n$ hiermtl annotat a b -o c\n```", "annotat"),
        (f"{SKIP}```console\n$ hiermtl annotate a b -o c --engin ray\n```", "--engin"),
        (f"{SKIP}```console\n$ hiermtl train hard/sampel\n```", "hard/sampel"),
        (f"{SKIP}```console\n$ hiermtl train hard/sample trainin.lr=1\n```", "trainin is not a"),
        (f"{SKIP}```console\n$ hiermtl probe hard/sample trainin.lr=1\n```", "trainin is not a"),
        (f"{SKIP}```console\n$ hiermtl recipes copy hard/sampel a.yaml\n```", "hard/sampel"),
        (f"{SKIP}```console\n$ hiermtl evaluate en_smal\n```", "en_smal"),
        ("```console\n$ hiermtl 'open\n```", "No closing quotation"),
        ("<!-- test: run -->\n```console\n$ ls\n```", "no line of this block calls hiermtl"),
        ("<!-- test: skip -->\n```python\n1\n```", "needs a reason"),
        ("<!-- test: run today -->\n```python\n1\n```", "only 'skip' takes one"),
        ("<!-- test: maybe -->\n```python\n1\n```", "'maybe' is none of run, parse, skip"),
        ("<!-- test: recipe -->\n```python\n1\n```", "'recipe' is none of"),
        ("<!-- test: parse -->\n```text\n1\n```", "blocks of language 'text' are not tested"),
        ("<!-- test: parse -->\n\nProse.\n\n```python\n1\n```", "no block follows"),
        ("<!-- test: parse -->", "no block follows"),
    ],
)
def test_a_wrong_block_fails(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    made_up.write_text(text, encoding="utf-8")
    with pytest.raises(PageError, match=message):
        check_page(made_up, made_up.parent, monkeypatch)


def test_right_blocks_pass_and_share_a_namespace(
    made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.write_text(
        "```python\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\n```\n\n"
        "```python\nopen('a.txt', 'w').close(); a = A(1)\n```\n\n"
        "<!-- test: skip it needs a graphics processor -->\n```python\n1 / 0\n```\n\n"
        "<!-- test: parse -->\n```python\n1 / 0\n```\n\n"
        "```yaml\nsharing: soft_l2\n```\n\n```text\nanything\n```\n",
        encoding="utf-8",
    )
    check_page(made_up, made_up.parent, monkeypatch)
    assert (made_up.parent / "a.txt").exists()


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("$ hiermtl train a/b x.y=1\nepoch 1\n$ ls\n", [["train", "a/b", "x.y=1"]]),
        ("hiermtl train a \\\n  -o b  # a comment\n", [["train", "a", "-o", "b"]]),
        ("A=1 hiermtl annotate m - < in > out | hiermtl x", [["annotate", "m", "-"], ["x"]]),
        ("accelerate launch -m hiermtl train a", [["train", "a"]]),
        ("pip install hiermtl", []),
    ],
)
def test_calls_are_found_among_prompts_pipes_and_output(text: str, calls: list[list[str]]) -> None:
    assert list(command_lines(text)) == calls


@pytest.fixture
def made_up_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line with `knit PATTERN [--rows N]` and `wool list` instead of the real one."""
    app, wool = typer.Typer(), typer.Typer()
    app.add_typer(wool, name="wool")

    @app.command()
    def knit(pattern: str, rows: int = 1) -> None: ...

    @wool.command("list")
    def list_wool() -> None: ...

    module = types.ModuleType("hiermtl.cli")
    monkeypatch.setattr(module, "app", app, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("made_up_commands")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiermtl weave", "weave"),
        ("hiermtl wool lisst", "lisst"),
        ("hiermtl knit", "PATTERN|pattern"),
        ("hiermtl knit sock --colour red", "--colour"),
        ("hiermtl knit sock --rows many", "--rows"),
        ("hiermtl knit sock hat", "hat"),
        ("hiermtl", "a command is missing"),
    ],
)
def test_a_call_that_the_command_line_refuses_fails(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    made_up.write_text(f"```bash\n{text}\n```", encoding="utf-8")
    with pytest.raises(PageError, match=rf"^made_up\.md:1: hiermtl.*: .*({message})"):
        check_page(made_up, made_up.parent, monkeypatch)


@pytest.mark.usefixtures("made_up_commands")
@pytest.mark.parametrize("text", ["knit sock --rows 3", "wool list", "knit --help", "--help"])
def test_a_call_that_the_command_line_takes_passes(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    made_up.write_text(f"```console\n$ hiermtl {text}\n```", encoding="utf-8")
    check_page(made_up, made_up.parent, monkeypatch)


@pytest.mark.usefixtures("made_up_commands")
def test_a_call_that_fails_when_run_fails(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real command line, which runs in a process of its own, does not know the command.
    made_up.write_text("<!-- test: run -->\n```bash\nhiermtl knit sock\n```", encoding="utf-8")
    with pytest.raises(PageError, match="exit code"):
        check_page(made_up, made_up.parent, monkeypatch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a page](nowhere.md#part)", "leads to no file"),
        ("![a picture](nowhere.png)", "leads to no file"),
        ('<img src="nowhere.png">', "leads to no file"),
        (f"See `/{'tmp'}/runs`.", "is a path of one machine"),
        (f"```\ncd /{'home'}/someone\n```", "is a path of one machine"),
    ],
)
def test_a_wrong_link_or_path_fails(made_up: Path, text: str, message: str) -> None:
    made_up.write_text(text, encoding="utf-8")
    with pytest.raises(PageError, match=message):
        check_prose(made_up)


def test_right_links_and_paths_pass(made_up: Path) -> None:
    made_up.write_text(
        "[itself](made_up.md#part) [part](#part) [site](https://example.org/tmp) runs/tmp\n",
        encoding="utf-8",
    )
    check_prose(made_up)
