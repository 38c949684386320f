"""The local page: what it answers to people, and to everybody else."""

import html
import http.client
import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hiermtl.annotation import Annotator, Pair
from hiermtl.commands import demo
from hiermtl.config import HierarchicalConfig
from hiermtl.demo import DemoServer, Levels
from hiermtl.encoders.bert import BertEncoder
from hiermtl.errors import RecipeError, RunError
from hiermtl.model import HierarchicalModel
from tests.unit.annotation.conftest import TASKS, make_bert, pieces, spread
from tests.worlds import bert_config

EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
LIMIT = 300
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def nlp() -> Annotator:
    torch.manual_seed(0)
    return Annotator(*make_bert())


@pytest.fixture(scope="module")
def evil() -> Annotator:
    """A model that says only what would run if a page took it for HTML, and compares pairs too."""
    torch.manual_seed(0)
    encoder = BertEncoder(bert_config(limit=24))
    tasks = {
        "upos": {"depth": 1, "head": "tagging", "labels": [EVIL]},
        "ner": {"depth": 2, "head": "crf", "labels": [f"B-{EVIL}"]},
        "dep": {**TASKS["dep"], "labels": ["root", EVIL]},
        "same": {"depth": 3, "head": "pair_classification", "labels": [EVIL, "no"]},
    }
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks, language="en"), encoder)
    return Annotator(spread(model), pieces(24))


def serving(nlp: Annotator, limit: int = LIMIT) -> Iterator[DemoServer]:
    with DemoServer(Levels(nlp, limit=limit), 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(nlp: Annotator) -> Iterator[DemoServer]:
    yield from serving(nlp)


@pytest.fixture(scope="module")
def evil_server(evil: Annotator) -> Iterator[DemoServer]:
    yield from serving(evil)


def ask(
    server: DemoServer,
    path: str = "annotate",
    data: bytes | None = None,
    method: str | None = None,
    **headers: str,
) -> tuple[int, Any, http.client.HTTPMessage]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.address + path, data, named, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def annotate(server: DemoServer, **given: object) -> tuple[int, dict[str, Any]]:
    data = json.dumps(given).encode()
    status, body, _ = ask(server, data=data, Content_Type="application/json")
    return status, json.loads(body)


def test_the_page_is_whole_by_itself_and_may_load_nothing(server: DemoServer) -> None:
    status, body, headers = ask(server, "")
    page = body.decode("utf-8")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert page.count(f'nonce="{nonce}"') == 2
    assert ask(server, "")[2]["Content-Security-Policy"] != policy
    assert "NONCE" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


@pytest.mark.parametrize("way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"])
def test_the_page_makes_no_html_of_text(server: DemoServer, way: str) -> None:
    assert way not in server.page


def test_the_model_is_told(server: DemoServer, nlp: Annotator) -> None:
    status, body, _ = ask(server, "model")
    about = json.loads(body)
    assert status == 200
    assert [(one["task"], one["depth"]) for one in about["tasks"]] == [
        (task.name, task.depth) for task in nlp.hierarchy
    ]
    assert (about["depth"], about["blocks"], about["limit"]) == (3, 3, LIMIT)
    assert about["pairs"] is False


def test_every_level_is_what_the_annotator_says(server: DemoServer, nlp: Annotator) -> None:
    text = "Ada wrote to Babbage. It rained!"
    status, found = annotate(server, text=text)
    doc = nlp(text)
    assert status == 200
    assert tuple(found["words"]) == doc.words
    assert found["sentences"] == [[s.start, s.end] for s in doc.sentences]
    levels = {level["task"]: level for level in found["levels"]}
    assert {task: level["depth"] for task, level in levels.items()} == {
        "upos": 1,
        "ner": 2,
        "dep": 3,
    }
    assert tuple(levels["upos"]["value"]) == doc.tags("upos")
    assert levels["ner"]["kind"] == "spans"
    assert levels["ner"]["value"] == [[s.start, s.end, s.label] for s in doc.entities]
    assert levels["dep"]["value"] == {
        "heads": list(doc.tree.heads),
        "relations": list(doc.tree.relations),
    }


def test_what_is_known_and_paid_grows_with_the_depth(server: DemoServer) -> None:
    _, found = annotate(server, text="Ada wrote to Babbage.")
    steps = found["steps"]
    assert [step["depth"] for step in steps] == [1, 2, 3]
    assert [step["tasks"] for step in steps] == [["upos"], ["upos", "ner"], ["upos", "ner", "dep"]]
    assert [step["new"] for step in steps] == [["upos"], ["ner"], ["dep"]]
    assert [step["blocks"] for step in steps] == [1, 2, 3]
    assert all(step["ms"] > 0 for step in steps)


def test_columns_are_paid_for_each() -> None:
    """Of single columns a task runs its own blocks, and three tasks run theirs."""
    levels = Levels(Annotator(*make_bert(sharing={"name": "single"})))
    assert [step.blocks for step in levels.steps(levels.nlp.tasks)] == [1, 3, 6]
    assert levels.about()["blocks"] == 6


def test_a_pair_is_compared(evil_server: DemoServer, evil: Annotator) -> None:
    status, found = annotate(evil_server, text="a dog.", second="no cat")
    assert status == 200
    assert [len(found["words"]), found["sentences"]] == [5, [[0, 3], [3, 5]]]
    values = {level["task"]: level["value"] for level in found["levels"]}
    assert values["same"] == evil(Pair(["a", "dog", "."], ["no", "cat"])).labels["same"]
    _, alone = annotate(evil_server, text="a dog.", second="  ")
    assert "same" not in {level["task"] for level in alone["levels"]}


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b", "\ud800", "\x00", "a" * LIMIT, "😀" * 99])
def test_odd_texts_are_answered(server: DemoServer, text: str) -> None:
    status, found = annotate(server, text=text)
    assert status == 200
    assert "".join(found["words"]) == "".join(text.replace("\ud800", "\ufffd").split())


def test_a_text_is_data_whatever_it_says(server: DemoServer) -> None:
    status, found = annotate(server, text=EVIL)
    assert status == 200
    assert "".join(found["words"]) == "".join(EVIL.split())
    data = json.dumps({"text": EVIL}).encode()
    _, _, headers = ask(server, data=data, Content_Type="application/json")
    assert headers.get_content_type() == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'"


@pytest.mark.parametrize("size", [LIMIT + 1, 20 * LIMIT, 3_000_000])
def test_a_text_that_is_too_long_is_refused_with_the_limit(server: DemoServer, size: int) -> None:
    status, found = annotate(server, text="a" * size)
    assert status == 413
    assert f"allowed are {LIMIT} characters: shorten it" in found["error"]
    assert annotate(server, text="a")[0] == 200


def test_both_texts_of_a_pair_have_the_limit(evil_server: DemoServer) -> None:
    whole = "é\U0001f600" * (LIMIT // 2)
    assert annotate(evil_server, text=whole, second=whole)[0] == 200
    assert annotate(evil_server, text="a", second=whole + "a")[0] == 413


@pytest.mark.parametrize(
    "data", [b"", b"text", b"[]", b"{}", b'{"text": 1}', b'{"text": "a', b"\xff", b"[" * 900]
)
def test_what_is_no_request_is_refused(server: DemoServer, data: bytes) -> None:
    status, body, _ = ask(server, data=data, method="POST", Content_Type="application/json")
    assert status == 400
    assert 'send {"text": "..."}' in json.loads(body)["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:{port}", ""])
@pytest.mark.parametrize("path", ["", "model", "annotate"])
def test_another_name_of_this_machine_is_refused(server: DemoServer, host: str, path: str) -> None:
    """What a page does whose name was made to point here after it was loaded."""
    named = host.format(port=server.server_port)
    data = b'{"text": "a"}' if path == "annotate" else None
    status, body, _ = ask(server, path, data, Host=named, **{"Content-Type": JSON["Content-Type"]})
    assert (status, "127.0.0.1" in json.loads(body)["error"]) == (421, True)
    good = f"localhost:{server.server_port}"
    assert ask(server, path, data, Host=good, **{"Content-Type": JSON["Content-Type"]})[0] == 200


def test_browsers_leave_out_the_port_that_is_everyones() -> None:
    hosts = DemoServer.hosts.fget
    assert hosts is not None
    assert "localhost" in hosts(SimpleNamespace(server_port=80))
    assert "localhost" not in hosts(SimpleNamespace(server_port=8000))


def test_pages_of_other_hosts_cannot_ask(server: DemoServer) -> None:
    data = b'{"text": "a"}'
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.server_port}"):
        status, _, headers = ask(server, data=data, Origin=origin, Content_Type="application/json")
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
    own = server.address.rstrip("/")
    assert ask(server, data=data, Origin=own, Content_Type="application/json")[0] == 200
    # A form can send only such kinds without asking first.
    assert ask(server, data=data, Content_Type="text/plain")[0] == 415


@pytest.mark.parametrize(
    "path", ["favicon.ico", "page.html", "../page.html", "annotate/", "%2e%2e"]
)
def test_other_paths_are_not_there(server: DemoServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_other_methods_are_refused(server: DemoServer) -> None:
    status, _, headers = ask(server, "annotate")
    assert (status, headers["Allow"]) == (405, "POST")
    assert ask(server, "", b"x", method="POST")[0] == 405
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        assert ask(server, "", method=method)[0] == 405
    status, body, headers = ask(server, "", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize("length", ["", "x", "-1", "1e3", "9" * 40])
def test_a_length_that_is_none_is_refused(server: DemoServer, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as guest:
        head = f"POST /annotate HTTP/1.1\r\nHost: {server.hosts[0]}\r\n"
        kind = f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        guest.sendall((head + kind).encode())
        assert b" 411 " in guest.recv(4096)


def test_noise_is_answered_and_the_next_guest_is_served(server: DemoServer) -> None:
    for noise in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"G" * 70_000, b""):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as guest:
            guest.sendall(noise)
            guest.shutdown(socket.SHUT_WR)
            guest.recv(4096)
    assert annotate(server, text="a")[0] == 200


def test_many_at_once_are_all_answered(server: DemoServer) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(annotate(server, text="a b c")[0]))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(statuses) == 12
    assert set(statuses) <= {200, 503}
    assert 200 in statuses


def test_more_than_may_wait_are_told_to_come_again(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "places", threading.BoundedSemaphore(1))
    assert server.places.acquire(blocking=False)
    status, found = annotate(server, text="a")
    assert (status, "try again in a moment" in found["error"]) == (503, True)
    server.places.release()
    assert annotate(server, text="a")[0] == 200


def test_a_failure_of_the_model_is_an_answer_and_a_line(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(server.levels, "annotate", fail)
    status, found = annotate(server, text="a")
    assert (status, "ZeroDivisionError" in found["error"]) == (500, True)
    assert "failed: ZeroDivisionError: by zero" in capfd.readouterr().err


def test_it_listens_on_this_machine_alone(server: DemoServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/"


def test_a_port_that_is_taken_is_said_with_the_remedy(nlp: Annotator, server: DemoServer) -> None:
    message = (
        rf"port {server.server_port} of 127.0.0.1 cannot be used \(.*choose another with --port"
    )
    with pytest.raises(RunError, match=message):
        DemoServer(server.levels, server.server_port)
    with pytest.raises(RunError, match=r"port 70000 of 127\.0\.0\.1 cannot be used"):
        DemoServer(server.levels, 70_000)


def test_the_function_serves_until_it_is_interrupted(nlp: Annotator) -> None:
    told: list[str] = []

    def interrupt(address: str) -> None:
        told.append(address)
        raise KeyboardInterrupt

    demo(nlp, port=0, told=interrupt)
    assert told[0].startswith("http://127.0.0.1:")
    with pytest.raises(RecipeError, match="limit is 0; allowed is 1 or more characters"):
        demo(nlp, limit=0)


@pytest.fixture(scope="module")
def browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    return found


def dom(browser: str, address: str, folder: Path, **shown: object) -> str:
    """The page as it stands when it has shown what its address says."""
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{address}#{urllib.parse.urlencode(shown)}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_browser_shows_every_level(browser: str, server: DemoServer, tmp_path: Path) -> None:
    page = dom(browser, server.address, tmp_path, text="Ada wrote to Babbage.", depth=1)
    assert 'data-shown="yes"' in page
    for part in ("Babbage", "upos · 1", "ner · 2", "dep · 3", "<svg", "1 of 3 blocks run"):
        assert part in page
    assert page.count('class="tag known"') == 5
    assert 'class="name above"' in page
    whole = dom(browser, server.address, tmp_path, text="Ada wrote to Babbage.")
    assert ' above"' not in whole
    assert "3 of 3 blocks run" in whole
    nothing = dom(browser, server.address, tmp_path, text=" ")
    assert "There is no word in this text." in nothing
    huge = dom(browser, server.address, tmp_path, text="a" * (LIMIT + 1))
    assert f"allowed are {LIMIT} characters" in huge


@pytest.mark.slow
def test_a_person_types_and_moves_along_the_depth(
    browser: str, server: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hands do, done by the page itself."""
    hands = """begin().then(async () => {
      const a_while = () => new Promise((go_on) => setTimeout(go_on, 20));
      const settled = async () => { while (at("go").disabled) await a_while(); };
      at("text").value = "It rained in London.";
      at("text").dispatchEvent(new Event("input"));
      at("go").click();
      await settled();
      at("depth").value = 2;
      at("depth").dispatchEvent(new Event("input"));
      const told = at("told").textContent;
      at("text").value = "x".repeat(model.limit + 1);
      at("go").click();
      await settled();
      const said = [told, at("count").textContent, at("message").textContent];
      document.body.append(make("pre", "", said.join(" ")));
    });"""
    assert server.page.count("\nbegin();\n") == 1
    monkeypatch.setattr(server, "page", server.page.replace("\nbegin();\n", f"\n{hands}\n"))
    page = dom(browser, server.address, tmp_path)
    shown = page.rpartition("<pre>")[2]
    assert shown.startswith("Depth 2 of 3: upos, ner (2 of 3 tasks); 2 of 3 blocks run")
    assert f"20 of {LIMIT} characters" in shown  # as typed; the last was set without an event
    assert f"allowed are {LIMIT} characters" in shown
    assert page.count('class="tag known"') == 5, "what was shown stays"


@pytest.mark.slow
def test_a_browser_shows_hostile_text_and_labels_and_runs_nothing(
    browser: str, evil_server: DemoServer, tmp_path: Path
) -> None:
    shown = {"text": f"a dog {EVIL}", "second": "no cat"}
    page = dom(browser, evil_server.address, tmp_path, **shown)
    assert 'data-shown="yes"' in page
    assert "<title>hiermtl</title>" in page
    assert "<img" not in page
    assert page.count("<script") == 1
    assert page.count(html.escape(EVIL, quote=False)) > 10


@pytest.mark.slow
def test_a_page_that_makes_html_of_text_would_show(
    browser: str, evil: Annotator, tmp_path: Path
) -> None:
    """The negative control of the test above."""
    for server in serving(evil):
        careful = "if (text !== undefined) element.textContent = text;"
        assert server.page.count(careful) == 2
        server.page = server.page.replace(careful, careful.replace("textContent", "innerHTML"))
        page = dom(browser, server.address, tmp_path, text="a dog", second="no cat")
        assert "<img" in page
        assert "<title>hiermtl</title>" in page, "the policy of the page stops what is made"
