"""Lines of an attacker's choosing: what they cost a byte, beside an ordinary line."""

import time
from zoneinfo import ZoneInfo

import pytest

from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.normalizer import EVERY_HOST, Normalizer
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.rulebook import RULEBOOK

PLAIN = [f"Failed password for root from 203.0.113.7 port {n} ssh2" for n in range(1024, 1624)]
FILLINGS = (
    *(" ", "#012", "^M", "ab ", "[", "(", "auth.info: ", "message repeated 2 times: [ "),
    *(
        "pam_unix(sshd:auth): ",
        "(pam_unix) ",
        '@cee:{"sudo":',
        "user=a ",
        "1.2.3.4 ",
        " for a from b",
    ),
)


def seconds_a_byte(tag: str, messages: list[str]) -> float:
    """Of a log with these messages, the fastest of three times."""
    lines = [f"Mar  1 13:06:56 box {tag}[{n}]: {message}" for n, message in enumerate(messages)]
    text, times = "\n".join(lines), []
    for _ in range(3):
        clock = TimestampParser(ZoneInfo("UTC"), reference=time.time_ns())
        normalizer = Normalizer(RULEBOOK, "box", "log", EVERY_HOST)
        began = time.process_time()
        records, _ = HeaderParser(clock, Provenance()).parse_text(text)
        normalizer.normalize(records)
        times.append(time.process_time() - began)
    return min(times) / len(text)


@pytest.fixture(scope="module")
def plain() -> float:
    """What a byte of ordinary lines costs."""
    return seconds_a_byte("sshd", PLAIN)


@pytest.mark.table
@pytest.mark.parametrize("program", RULEBOOK.names())
def test_a_flood_of_long_lines(program: str, plain: float) -> None:
    """A byte of a line that no rule understands costs at most ten times one of a failed login."""
    for filling in (*FILLINGS, f"{program}: "):
        for length in (2_000, 64_000):
            told = (filling * length)[:length]
            messages = [f"{begin}{told}{n}" for n in range(3) for begin in ("", "x")]
            messages += [f"x{n}{told}" for n in range(3)]
            assert seconds_a_byte(program, messages) < 10 * plain, (filling, length)
