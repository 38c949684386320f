"""Text files as blocks of lines: UTF-8, gzip, and errors that name the place."""

import errno
import gzip
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from pathlib import Path

from hiermtl.errors import DataError

MARK = b"\xef\xbb\xbf"


def read_lines(path: str | Path) -> Iterator[bytes]:
    """The lines of a file with their line ends, still encoded; `.gz` files are unpacked.

    Raises:
        DataError: The file does not exist, cannot be read, or is not a whole gzip file.
    """
    packed = str(path).endswith(".gz")
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            yield from file
    except FileNotFoundError:
        raise DataError(
            "no such file; check the name, or the folder it is looked up in", path
        ) from None
    except IsADirectoryError:
        raise DataError("this is a folder; name one of its files", path) from None
    except PermissionError:
        raise DataError(
            "no permission to read this file; change its mode or its owner", path
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error}); fetch or pack it again", path) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DataError(f"no such file ({error.strerror}); check the name", path) from None


def decode(raw: bytes, name: str, *, line: int, offset: int) -> str:
    """UTF-8 bytes as text; `line` and `offset` say where in the file they begin (from 1 and 0).

    Raises:
        DataError: The bytes are not UTF-8. The message names the byte, its offset in the file and
            its line.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        wide = offset + at == 0 and raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        guess = "utf-16" if wide else "latin1"
        raise DataError(
            f"byte {offset + at} of the file, 0x{raw[at]:02x}, is not UTF-8 ({error.reason}); "
            f"files must be UTF-8: convert this one, for example with `iconv -f {guess} -t utf-8`",
            name,
            line=line + raw.count(b"\n", 0, at),
        ) from None


def decoded_lines(
    lines: Iterable[bytes], name: str, *, first: int = 1, offset: int = 0
) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, with its line end; a byte order mark is passed over.

    `first` and `offset` say where in the file the lines begin, from 1 and from 0.

    Raises:
        DataError: A line is not UTF-8.
    """
    for number, line in enumerate(lines, first):
        raw = line.removeprefix(MARK) if number == 1 else line
        yield number, decode(raw, name, line=number, offset=offset + len(line) - len(raw))
        offset += len(line)


def read_blocks(
    lines: Iterable[bytes], name: str, *, blank: bytes = b" \r\n"
) -> Iterator[tuple[int, list[str]]]:
    r"""Runs of lines between blank ones: (number of the first line, from 1; the lines).

    A line is blank when nothing but bytes of `blank` is in it. `\n` and `\r\n` both end lines.

    Raises:
        DataError: A block is not UTF-8.
    """
    block: list[bytes] = []
    first, offset = 1, 0
    for number, encoded in enumerate(lines, 1):
        line = encoded
        if number == 1 and line.startswith(MARK):
            line, offset = line[len(MARK) :], len(MARK)
        if line == b"\n" or not line.strip(blank):
            if block:
                raw = b"".join(block)
                yield first, _split(decode(raw, name, line=first, offset=offset))
                block, offset = [], offset + len(raw)
            first, offset = number + 1, offset + len(line)
        else:
            block.append(line)
    if block:
        yield first, _split(decode(b"".join(block), name, line=first, offset=offset))


def _split(text: str) -> list[str]:
    # Not `splitlines`: it would also cut at form feeds, U+0085 and U+2028, which are legal inside
    # fields.
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines
