"""A small coverage-guided fuzzer: inputs that reach new lines of the package are mutated further.

Everything follows from the seed, so that a failure can be run again.
"""

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hiermtl.errors import HiermtlError

PACKAGE = str(Path(sys.modules["hiermtl.errors"].__file__ or "").parent)
LONGEST = 4000
TOKENS = [
    *(b"\t", b"\n", b"\n\n", b"\r\n", b"\r", b" ", b"_", b"#", b"=", b"|", b"-", b".", b"*", b"("),
    *(b")", b"[", b"]", b"{", b"}", b":", b",", b'"', b"'", b"\\", b"0", b"1", b"-1", b"99999"),
    *(b"1e309", b"NaN", b"null", b"true", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85"),
    *(b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xd7\x90", b"\xe4\xbd\xa0"),
    *(b"I-X", b"B-X", b"O", b"# sent_id = 1", b"# newdoc", b"<e1>", b"</e1>", b"&a", b"*a", b"!!"),
]


class Failed(AssertionError):
    """An input that ends in something else than a result or an error of ours."""


def mutated(data: bytes, pool: Sequence[bytes], draw: random.Random) -> bytes:
    """The input with one to four changes."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(8):
            case 0 if data:
                bit = 1 << draw.randrange(8)
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            case 1:
                data = data[:at] + draw.choice(TOKENS) + data[at:]
            case 2:
                data = data[:at] + data[at + draw.randint(1, 20) :]
            case 3:
                other = draw.choice(pool)
                data = data[:at] + other[draw.randrange(len(other) + 1) :]
            case 4:
                lines = data.split(b"\n")
                draw.shuffle(lines)
                data = b"\n".join(lines)
            case 5:
                lines = data.split(b"\n")
                place = draw.randrange(len(lines))
                data = b"\n".join([*lines[: place + 1], *lines[place:]])
            case 6:
                part = data[at : at + draw.randint(1, 8)]
                data = data[:at] + part * draw.randint(2, 30) + data[at:]
            case _:
                data = data[:at]
    return data[:LONGEST]


def lines_reached(target: Callable[[bytes], object], data: bytes) -> set[tuple[str, int]]:
    """Which lines of the package the target runs; lets `HiermtlError` pass as an answer."""
    reached: set[tuple[str, int]] = set()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def entered(frame: FrameType, event: str, _: Any) -> Any:
        inside = event == "call" and frame.f_code.co_filename.startswith(PACKAGE)
        return local if inside else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        target(data)
    except HiermtlError as error:
        if "Traceback" in str(error):
            raise Failed(f"{data!r}: the message holds a stack trace: {error}") from error
    finally:
        sys.settrace(before)
    return reached


def fuzz(target: Callable[[bytes], object], seeds: Sequence[bytes], *, runs: int, seed: int) -> int:
    """Runs the target on so many inputs; returns how many lines of the package were reached.

    Raises:
        Failed: With the input, when the target raises anything but `HiermtlError`.
    """
    draw = random.Random(f"{seed}")
    pool, reached = list(seeds), set[tuple[str, int]]()
    for number in range(runs):
        data = seeds[number] if number < len(seeds) else mutated(draw.choice(pool), pool, draw)
        try:
            found = lines_reached(target, data)
        except Failed:
            raise
        except Exception as error:
            raise Failed(f"input {number}, {data!r}: {type(error).__name__}: {error}") from error
        if not found <= reached:
            reached |= found
            pool.append(data)
    return len(reached)
