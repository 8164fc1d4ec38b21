"""The built site holds together: every internal link leads somewhere, and no page asks another host for anything.

Run by `nox -s docs`, once it has built docs/_build/html.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
LOADED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("object", "data"), ("embed", "src")}
LOADED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that a link may name."""

    def __init__(self, file):
        super().__init__()
        self.links, self.loaded, self.places = [], [], {"", "top"}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.places.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and LOADED_RELATIONS & set(given.get("rel", "").split()):
            self.loaded.append(given["href"])
        self.loaded += [given[name] for kind, name in LOADED if kind == tag and name in given]


@pytest.fixture(scope="module")
def pages():
    found = {file.resolve(): Page(file) for file in SITE.rglob("*.html") if "_static" not in file.parts}
    assert found, f"there is no site in {SITE}; build it with nox -s docs"
    return found


def _target(file, link):
    """The file that an internal link names, and the place in it."""
    parts = urlsplit(link)
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def _external(link):
    parts = urlsplit(link)
    return bool(parts.netloc) or parts.scheme not in ("", "file")


def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for file, page in pages.items():
        for link in {link for link in (*page.links, *page.loaded) if not _external(link)}:
            target, place = _target(file, link)
            if not target.exists() or (target in pages and place not in pages[target].places):
                broken.append(f"{file.relative_to(SITE.resolve())}: {link}")
    assert broken == []


def test_links_of_the_readme_lead_to_pages(pages):
    text = (SITE.parents[2] / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(https://[\w.]+\.github\.io/multisched/([^)#]*)(#?[^)]*)\)", text)
    named = {((SITE / path).resolve(), place.removeprefix("#")) for path, place in linked}
    assert [path.name for path, place in named if path not in pages or place not in pages[path].places] == []


def test_no_page_loads_anything_from_another_host(pages):
    assert [one for page in pages.values() for one in page.loaded if _external(one) and one[:5] != "data:"] == []


def test_every_page_is_reached_from_home(pages):
    home = (SITE / "index.html").resolve()
    reached, ahead = {home}, [home]
    while ahead:
        file = ahead.pop()
        targets = {_target(file, link)[0] for link in pages[file].links if not _external(link)}
        new = {target for target in targets if target in pages} - reached
        reached |= new
        ahead += new
    apart = {"genindex.html", "py-modindex.html", "search.html"}
    assert {file.name for file in pages if file not in reached} <= apart
