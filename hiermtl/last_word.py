"""What a process that fails leaves behind for whoever started it.

The file is the one that `torchrun` names, in its format, so that its summary shows the message.
"""

import json
import os
import time
from pathlib import Path

VARIABLE = "TORCHELASTIC_ERROR_FILE"


def leave_word(message: str, *, kind: str = "") -> bool:
    """Writes the message of an error of this class, unless nobody asked or a word is left.

    Returns whether a launcher will read it.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return False
    place, now = Path(name), time.time()
    if not place.exists():
        about = {"kind": kind, "when": now, "timestamp": str(int(now))}
        partial = place.with_name(f".{place.name}.partial")
        said = {"message": {"message": message, "extraInfo": about}}
        partial.write_text(json.dumps(said), encoding="utf-8")
        partial.replace(place)
    return True
