"""The report as a page: nothing from a log acts in it, and it needs nothing else."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.reports.counting import Ranked, Top
from heptad.aggregator.summary import model
from heptad.aggregator.summary.html import to_html
from heptad.aggregator.summary.model import AccessRow, AccessTable, Summary
from tests.support.effort import tries


def report(text: str) -> Summary:
    """A report in which every value is ``text``."""
    access = AccessRow(text, text, text, text, text, text, text, text, text, 3, text)
    finding = Finding(
        rule=text, subject=text, first=0, last=1, day=0, severity=text, sentence=text, count=1
    )
    return Summary(
        since=text,
        until=text,
        hosts=[text],
        total=1,
        first=[text],
        findings=[finding],
        logins=[model.LoginCount(text, text, text, 1, 0, 1)],
        failing_addresses=Top([Ranked(text, 1)], 1),
        failing_users=Top([Ranked(text, 1)], 1),
        successes=AccessTable([access], 1),
        privileges=AccessTable([access], 1),
        events=[model.EventCount(text, text, text, 1)],
        not_understood=[model.UnparsedProgram(text, 1, [text])],
        gaps=[model.GapRow(text, text, text, text, text)],
        gaps_number=1,
        seen=[model.HostSeen(text, text, text, 1, 1, 1)],
        distinct=[model.DistinctCount(text, 1, 1)],
        sessions=[model.SessionCount(text, text, 1, 1, 0, 1.0, 1.0)],
        changes=AccessTable([access], 0),
        timeline=[model.Slot(text, 1, 2), model.Slot(text, 0, 0)],
    )


class Structure(HTMLParser):
    """The tags of a page with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


PLAIN = Structure(to_html(report("plain"))).tags
MARKUP = st.lists(
    st.sampled_from(
        [
            "<script>",
            "</td>",
            '"',
            "'",
            "<!--",
            "-->",
            "&lt;",
            " onload=x",
            "{{ 7*7 }}",
            "{% x %}",
            "]]>",
            "</style>",
            "\u202e",
            "\x00",
            "\x1b[2J",
            "javascript:",
            "<svg/onload=x>",
            "\n",
        ]
    ),
    min_size=1,
).map("".join)


@settings(max_examples=tries(60), deadline=None)
@given(MARKUP | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_value_makes_a_tag(text: str) -> None:
    """Whatever the values are, the page has the tags and attributes that the template wrote."""
    page = to_html(report(text))
    assert Structure(page).tags == PLAIN
    shown = page.replace("\n", "")
    assert shown.isprintable()


def test_long_values_are_cut() -> None:
    """Names of 64 KiB do not make a page of megabytes."""
    assert len(to_html(report("a<" * 32_768))) < 100_000


def test_page_stands_alone() -> None:
    """No script, no link, and a policy that allows the page's own style sheet only."""
    page = to_html(report("plain"))
    names = {tag[0] for tag in PLAIN}
    assert names & {"script", "link", "img", "iframe", "a", "form", "object"} == set()
    assert not any(name.startswith("on") or name == "style" for tag in PLAIN for name in tag[1:])
    style = re.findall("<style>(.*)</style>", page, re.DOTALL)[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{allowed}'" in page
    assert re.findall(r"url\(|@import|https?:", page) == []


def test_tables_tell_what_they_are() -> None:
    """Each table has a caption and a scope for each heading; there is one h1."""
    tags = [tag[0] for tag in PLAIN]
    assert tags.count("table") == tags.count("caption") > 5
    assert all("scope" in tag for tag in PLAIN if tag[0] == "th")
    assert tags.count("h1") == 1


def test_quiet_time_is_a_page_too() -> None:
    """Without any event there is a page that says so."""
    empty = msgspec.convert(
        {
            **msgspec.to_builtins(report("x")),
            **{name: [] for name, kind in Summary.__annotations__.items() if "list" in str(kind)},
            "gaps_number": 0,
        },
        Summary,
    )
    assert "Nothing needs attention." in to_html(empty)


def test_chart_has_axes() -> None:
    """The chart says how high its bars are, and when its quarters begin."""
    slots = [model.Slot(f"2026-03-01T{n:02}:00:00Z", n, 2) for n in range(9)]
    page = to_html(msgspec.structs.replace(report("x"), timeline=slots))
    scale, axis = re.findall(r'<p class="(?:scale|axis)" aria-hidden="true">(.*?)</p>', page)
    assert re.findall("<span>(.*?)</span>", scale) == ["10", "5", "0"]
    hours = [f"2026-03-01 {hour:02}:00" for hour in (0, 2, 4, 6)]
    assert re.findall("<span>(.*?)</span>", axis) == hours
