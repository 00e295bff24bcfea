"""How daemons escape names in their logs: vis(3) as built by OpenSSH, and Rust's escape_debug()."""

_C_STYLE = dict(zip(b"\n\r\b\a\v\t\f", "nrbavtf", strict=True))


def write_vis(name: str | bytes, *, c_style: bool = True) -> str:
    """Escape a name as sshd's log.c does; until 7.x without C's letters."""
    data = name if isinstance(name, bytes) else name.encode()
    written = ""
    for byte in data:
        if byte == ord("\\"):
            written += "\\\\"
        elif 0x20 <= byte < 0x7F or (not c_style and byte in b"\t\n\r\b\a"):
            written += chr(byte)
        elif c_style and byte in _C_STYLE:
            written += f"\\{_C_STYLE[byte]}"
        else:
            written += f"\\{byte:03o}"
    return written


def write_rust(name: str) -> str:
    """Escape a target as sudo-rs does; its letters must be printable."""
    plain = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return "".join(
        plain.get(letter) or (letter if letter.isprintable() else f"\\u{{{ord(letter):x}}}")
        for letter in name
    )
