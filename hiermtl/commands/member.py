"""One of several processes that train a run: `hiermtl.commands.processes` starts it.

It does as ordered, leaves word when it fails, and ends when its parent has ended.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from hiermtl import commands
from hiermtl.commands.processes import ORDER
from hiermtl.errors import HiermtlError
from hiermtl.last_word import leave_word
from hiermtl.recipe import load_recipe


def main(place: Path) -> None:
    """Runs the command that the folder `place` holds."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    # A request to end unwinds like an error, so that nothing temporary stays behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    order = json.loads((place / ORDER).read_text(encoding="utf-8"))
    code = 0
    try:
        folders = tuple(map(Path, order["folders"]))
        recipe = load_recipe(order["recipe"]).located(order["source"], folders)
        getattr(commands, order["command"])(recipe=recipe, **order["options"])
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except HiermtlError as error:
        code = error.exit_code
        leave_word(str(error), kind=type(error).__name__)
    except BaseException:
        code = 1
        leave_word(traceback.format_exc())
    sys.stderr.flush()
    # Others may be waiting for this one in vain; nothing may hold it up.
    os._exit(code)


def _follow_parent() -> None:
    """Ends the process when the parent has ended, which closes its end of the pipe."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
