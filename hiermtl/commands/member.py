"""One of several processes that train a run: `hiermtl.commands.processes` starts it.

It does as ordered, leaves word when it fails, and ends when its parent has ended.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from hiermtl import commands
from hiermtl.commands.processes import ERROR, ORDER
from hiermtl.errors import HiermtlError


def main(place: Path, rank: int) -> None:
    """Runs the command that the folder `place` holds, as the process of this rank."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    # A request to end unwinds like an error, so that nothing temporary stays behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    order = json.loads((place / ORDER).read_text(encoding="utf-8"))
    code = 0
    try:
        getattr(commands, order["command"])(**order["options"])
    except (KeyboardInterrupt, SystemExit) as error:
        code = int(getattr(error, "code", None) or 128 + signal.SIGINT)
    except BaseException as error:
        code = _leave_word(place, rank, error)
    sys.stderr.flush()
    # Others may be waiting for this one in vain; nothing may hold it up.
    os._exit(code)


def _leave_word(place: Path, rank: int, error: BaseException) -> int:
    """Writes down what went wrong; returns the exit code."""
    known = isinstance(error, HiermtlError)
    said = {
        "kind": type(error).__name__ if known else "",
        "message": str(error) if known else traceback.format_exc(),
        "rank": rank,
        "when": time.time(),
    }
    partial = place / f".{rank}.partial"
    partial.write_text(json.dumps(said), encoding="utf-8")
    partial.replace(place / ERROR.format(rank=rank))
    return error.exit_code if isinstance(error, HiermtlError) else 1


def _follow_parent() -> None:
    """Ends the process when the parent has ended, which closes its end of the pipe."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
