"""A stand-in for the hub on this machine: the few requests huggingface_hub makes for models.

Repositories are commits, each a mapping of paths to bytes, and names that point at them. Files of
weights are uploaded as on the hub: their bytes first, then a commit that names their digest.
"""

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

WRITER = "hf_writer"
"""The token that may write."""

TAKEN = ["cc-by-4.0", "cc-by-sa-4.0", "mit", "other"]
"""Licences it knows, some of the hub's."""


@dataclass
class Repository:
    """Commits, and the branches and tags that name them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Puts a new state of all files on a branch."""
        content = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in files.items())
        state = json.dumps([len(self.commits), content]).encode()
        sha = hashlib.sha1(state).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit."""
        if revision in self.commits:
            return revision
        return self.branches.get(revision) or self.tags.get(revision)


class Hub:
    """Repositories by name, what was uploaded for commits to come, and what was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.broken: int | None = None
        self.url = ""

    def add(self, name: str, files: Mapping[str, bytes], **options: Any) -> str:
        """A commit to the main branch of a repository, which is made if need be."""
        made = self.repositories.setdefault(name, Repository(**options))
        return made.commit(files)

    def downloads(self, name: str) -> list[str]:
        """The files of a repository that were fetched."""
        start = f"GET /{name}/resolve/"
        found = (key.removeprefix(start) for key in self.asked if key.startswith(start))
        return sorted(key.partition("/")[2] for key in found)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers on a free port of this machine."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **told: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.told = status, code, message, told


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.body = self._read()
        self.hub.asked[f"{self.command} {path}"] += 1
        try:
            if self.hub.broken is not None:
                raise _Refused(self.hub.broken, message="out of order")
            for method, pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, path)
                if found and self.command in method.split():
                    answer(self, *map(unquote, found.groups()))
                    return
            raise _Refused(404, "EntryNotFound", f"no such request: {path}")
        except _Refused as refused:
            self._send(
                json.dumps({"error": refused.message, **refused.told}).encode(),
                status=refused.status,
                headers={"X-Error-Code": refused.code, "X-Error-Message": refused.message},
            )

    def _read(self) -> bytes:
        """The request's body, which a file is sent as in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(
        self, data: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, data: Any) -> None:
        self._send(json.dumps(data).encode(), headers={"Content-Type": "application/json"})

    @property
    def _writes(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {WRITER}"

    def _may_write(self) -> None:
        if not self.headers.get("Authorization"):
            raise _Refused(401, message="Invalid username or password.")
        if not self._writes:
            raise _Refused(403, message="You don't have the rights to write")

    def _repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._writes):
            raise _Refused(401 if found is None else 404, "RepoNotFound", "Repository not found")
        return found

    def _commit_of(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._repository(name)
        sha = repository.resolve(revision)
        if sha is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha, repository.commits[sha]

    def info(self, name: str, revision: str = "main") -> None:
        sha, files = self._commit_of(name, revision)
        siblings = [{"rfilename": path} for path in files]
        self._json({"id": name, "sha": sha, "siblings": siblings, "tags": []})

    def tree(self, name: str, revision: str) -> None:
        _, files = self._commit_of(name, revision)
        self._json(
            [
                {"type": "file", "path": path, "size": len(data), "oid": _git(data)}
                for path, data in files.items()
            ]
        )

    def refs(self, name: str) -> None:
        found = self._repository(name)
        known = {
            kind: [{"name": n, "ref": f"refs/{n}", "targetCommit": sha} for n, sha in refs.items()]
            for kind, refs in (("branches", found.branches), ("tags", found.tags))
        }
        self._json({**known, "converts": []})

    def resolve(self, name: str, revision: str, path: str) -> None:
        sha, files = self._commit_of(name, revision)
        if self.hub.repositories[name].gated:
            raise _Refused(403, "GatedRepo", "Access to it is restricted")
        if path not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        self._send(files[path], headers={"X-Repo-Commit": sha, "ETag": f'"{_git(files[path])}"'})

    def create(self) -> None:
        self._may_write()
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            there = f"{self.hub.url}/{name}"
            raise _Refused(409, message="You already created this model repo", url=there)
        made = Repository(private=asked.get("visibility") == "private")
        made.commit({".gitattributes": b""})
        self.hub.repositories[name] = made
        self._json({"url": f"{self.hub.url}/{name}"})

    def branch(self, name: str, branch: str) -> None:
        self._may_write()
        found = self._repository(name)
        if branch in found.branches:
            raise _Refused(409, message="Reference already exists")
        found.branches[branch] = found.branches["main"]
        self._json({})

    def validate(self) -> None:
        _, start, rest = json.loads(self.body)["content"].partition("---\n")
        metadata = yaml.safe_load(rest.partition("\n---\n")[0]) if start else None
        errors = []
        if not isinstance(metadata, dict):
            errors.append("metadata are no mapping")
        else:
            if metadata.get("license", "mit") not in TAKEN:
                errors.append(f'"license" must be one of {TAKEN}')
            if not re.fullmatch(r"[a-z0-9.+-]+", metadata.get("license_name") or "none"):
                errors.append('"license_name" must be a slug')
        told = {"errors": [{"message": text} for text in errors], "warnings": []}
        self._send(json.dumps(told).encode(), status=400 if errors else 200)

    def preupload(self, name: str, revision: str) -> None:
        self._may_write()
        self._commit_of(name, revision)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def batch(self, name: str) -> None:
        self._may_write()
        self._repository(name)
        objects = [
            {**o, "actions": {"upload": {"href": f"{self.hub.url}/uploads/{o['oid']}"}}}
            for o in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, message="the bytes are not those that were announced")
        self.hub.uploads[oid] = self.body
        self._send(b"")

    def commit(self, name: str, revision: str) -> None:
        self._may_write()
        _, files = self._commit_of(name, revision)
        files = dict(files)
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.uploads[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        sha = self.hub.repositories[name].commit(files, revision)
        self._json({"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})


def _git(data: bytes) -> str:
    """The id git gives to a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_NAME = r"([^/]+/[^/]+)"
_API = rf"/api/models/{_NAME}"
_ROUTES = (
    ("GET", _API, _Handler.info),
    ("GET", rf"{_API}/revision/([^/]+)", _Handler.info),
    ("GET", rf"{_API}/tree/([^/]+)", _Handler.tree),
    ("GET", rf"{_API}/refs", _Handler.refs),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", rf"{_API}/branch/([^/]+)", _Handler.branch),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", rf"{_API}/preupload/([^/]+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/([^/]+)", _Handler.commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/uploads/([0-9a-f]+)", _Handler.upload),
    ("GET HEAD", rf"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
)
