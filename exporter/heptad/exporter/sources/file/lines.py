"""Split the bytes of a log into whole lines; lines that are too long are skipped and counted."""

import msgspec


class Lines(msgspec.Struct):
    """The result of a read: the text of whole lines, and the number of oversized ones.

    ``hole`` counts NUL bytes instead of lines. ``before`` is the text right before, if the first
    line refers to it (heptad.exporter.parsing.repeated_lines), and ``data`` are the last bytes
    read.
    """

    text: str
    read_bytes: int
    oversized: int = 0
    hole: int = 0
    before: str = ""
    data: bytes = b""


def cut(
    data: bytes, max_line: int, *, skipping: bool, final: bool
) -> tuple[int, Lines, bool] | None:
    """Return (bytes used, lines, whether the next byte belongs to a line that is skipped)."""
    begin, hole = 0, 0
    if skipping:
        begin = data.find(b"\n") + 1
        if begin == 0:
            return len(data), Lines("", len(data)), True
    elif data[0] == 0:
        # copytruncate leaves a hole of NUL bytes if the writer does not use O_APPEND
        begin = hole = len(data) - len(data.lstrip(b"\0"))
    end = len(data) if final else data.rfind(b"\n") + 1
    if end <= begin:
        if len(data) - begin > max_line:
            return len(data), Lines("", len(data), 1, hole), True
        return (begin, Lines("", begin, 0, hole), False) if begin else None
    text, oversized = data[begin:end], 0
    if len(text) > max_line:
        text, oversized = _pass_over(text, max_line)
    return end, Lines(decode(text), end, oversized, hole), False


def decode(text: bytes) -> str:
    """Decode text; bytes that are not UTF-8 become ``\\xff``."""
    decoded = text.decode("utf-8", "backslashreplace")
    # NUL too, which no store accepts; searching first costs a tenth of replacing
    return decoded.replace("\0", "\\x00") if "\0" in decoded else decoded


def _pass_over(text: bytes, max_line: int) -> tuple[bytes, int]:
    """Return the text without lines above ``max_line`` bytes, and the number of those lines.

    Searches for the last line end within reach, so it takes one step per ``max_line`` bytes.
    """
    kept, oversized = [], 0
    begin = here = 0
    while len(text) - here > max_line:
        reached = text.rfind(b"\n", here, here + max_line + 1) + 1
        if reached:
            here = reached
            continue
        end = text.find(b"\n", here) + 1 or len(text)
        line = text[here:end].lstrip(b"\0")
        kept.append(text[begin:here])
        if len(line.removesuffix(b"\n")) > max_line:
            oversized += 1
        else:
            kept.append(line)
        begin = here = end
    kept.append(text[begin:])
    return b"".join(kept), oversized
