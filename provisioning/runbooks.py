"""Generate the runbooks of Heptad's page: ``python -m provisioning.runbooks``.

The sources are in docs/runbooks/; a test fails if they differ. HTML in them is escaped.
"""

import html
import re
from pathlib import Path
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from provisioning.alerts import FILES
from provisioning.alerts.rule import Alert

_ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = _ROOT / "docs" / "runbooks"
WRITTEN: Final = _ROOT / "aggregator" / "heptad" / "aggregator" / "web" / "runbooks"
_PLACE_OF: Final = {
    rule.name: f"{Path(rule.runbook).stem}#{rule.name.lower()}"
    for group in FILES.values()
    for rule in group.rules
    if isinstance(rule, Alert)
}
"""Alert → its link, relative to a page of runbooks."""
_SERVED: Final = {path.name for path in FOLDER.glob("*.md")}
_NAME: Final = re.compile(r"\b(?:Heptad|Host)[A-Z]\w+\b")
_FRAME: Final = """\
<!doctype html>
<html lang="en">
<head>
<!-- Written by `make docs` from docs/runbooks/; change it there. -->
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="../icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../page.css">
</head>
<body>
<header class="bar"><nav aria-label="Pages"><a href="../">Heptad</a> <a href="./">All runbooks</a>
</nav></header>
<main class="runbook">
{body}</main>
</body>
</html>
"""


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    markdown.add_render_rule("text", _render_text)
    markdown.add_render_rule("link_open", _open_link)
    markdown.add_render_rule("link_close", _close_link)
    return markdown


def _render_text(self: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """Render text; the name of an alert becomes a link."""
    if env.get("inside"):
        return html.escape(tokens[at].content)
    return _NAME.sub(
        lambda found: (
            f'<a href="{_PLACE_OF[found[0]]}">{found[0]}</a>'
            if found[0] in _PLACE_OF and found[0] != env.get("heading")
            else found[0]
        ),
        html.escape(tokens[at].content),
    )


def _open_link(self: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """Render a link to another runbook; other targets are not served, and shown as text."""
    target = str(tokens[at].attrGet("href"))
    path, _, anchor = target.partition("#")
    env["inside"] = True
    if path in _SERVED and re.fullmatch(r"[\w-]*", anchor):
        env["close"] = "</a>"
        return f'<a href="{Path(path).stem}{"#" * bool(anchor)}{anchor}">'
    env["close"] = f" (<code>{html.escape(target.replace('../', 'docs/'))}</code>)"
    return ""


def _close_link(self: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    env["inside"] = False
    return str(env["close"])


def render(text: str) -> str:
    """Render the page of a runbook; the anchor of each section is the name of its alert."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    title = ""
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = "".join(child.content for child in tokens[at + 1].children or ())
            title = title or heading
            token.attrSet("id", re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"))
    parts = []
    for section in _sections(tokens):
        heading = section[1].content if section[0].type == "heading_open" else ""
        parts.append(markdown.renderer.render(section, markdown.options, {"heading": heading}))
    return _FRAME.format(title=html.escape(title), body="".join(parts))


def _sections(tokens: list[Token]) -> list[list[Token]]:
    sections: list[list[Token]] = []
    for token in tokens:
        if not sections or (token.type == "heading_open" and token.tag == "h2"):
            sections.append([])
        sections[-1].append(token)
    return sections


def pages() -> dict[str, str]:
    """Return file name → page, for each runbook and the index."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
    rows = []
    for name, text in texts.items():
        title = text.partition("\n")[0].removeprefix("# ")
        rows.append(f"## [{title}]({name}.md)\n")
        rows += [f"- {alert}" for alert, place in _PLACE_OF.items() if place.startswith(f"{name}#")]
        rows.append("")
    texts["index"] = "# Runbooks\n\n" + "\n".join(rows)
    return {f"{name}.html": render(text) for name, text in texts.items()}


def main() -> None:
    """Write the pages, and delete those that no longer exist."""
    written = pages()
    for old in WRITTEN.glob("*.html"):
        if old.name not in written:
            old.unlink()
    WRITTEN.mkdir(exist_ok=True)
    for name, text in written.items():
        (WRITTEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
