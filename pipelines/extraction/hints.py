"""What the names of elements tell: bits for tags, and for words in class, id, role and itemprop.

The words are those that page authors give to the parts of a page in many languages' sites (they write English class
names nearly everywhere). A bit says only "such a word stands there"; what it means is the model's to learn.
"""

from __future__ import annotations

import re

TAGS = {  # bit groups: elements that mean the same share one
    "p": "p",
    "li": "li",
    "h1": "h1",
    "h2": "h2",
    **dict.fromkeys(("h3", "h4", "h5", "h6"), "h3"),
    **dict.fromkeys(("td", "th", "caption"), "cell"),
    "dt": "dt",
    "dd": "dd",
    "pre": "pre",
    **dict.fromkeys(("blockquote", "q"), "quote"),
    **dict.fromkeys(("figure", "figcaption", "picture"), "figure"),
    **dict.fromkeys(("form", "fieldset", "legend"), "form"),
    "header": "header",
    **dict.fromkeys(("address", "hgroup"), "address"),
    "article": "article",
    "main": "main",
    "section": "section",
    **dict.fromkeys(("ul", "ol"), "list"),
    "dl": "dl",
    "table": "table",
    **dict.fromkeys(("details", "summary"), "details"),
    **dict.fromkeys(("dialog", "marquee", "blink"), "dialog"),
}
HINTS = {
    "article_body": r"(article|post|entry|story|page|news|main|blog|single)[-_ ]?(body|content|text|copy)|e-content",
    "content": r"content|inhalt|contenu|contenido|document",
    "article": r"article|artikel|hentry|blogposting",
    "body": r"body|text|copy\b|prose|markdown|richtext",
    "post": r"post|entry|blog",
    "story": r"story|news",
    "main": r"\bmain|primary|haupt|center",
    "title": r"title|headline|heading|titre|titel",
    "lead": r"\blead|intro|summary|excerpt|abstract|standfirst|deck|subtitle|dek\b",
    "comment": r"comment|kommentar|disqus|respond|repl(y|ies)|discuss",
    "share": r"shar(e|ing)|social|twitter|facebook|addthis|follow|whatsapp",
    "nav": r"nav|menu|breadcrumb|paginat|pager|\btoc|sitemap|skip|prev|next",
    "footer": r"foot|bottom|colophon|copyright|imp?ressum|legal|license",
    "header": r"header|masthead|topbar|banner|logo|branding",
    "sidebar": r"side|aside|rail\b|right|left|widget|secondary|complementary",
    "related": r"relat|recommend|similar|\bmore|also|popular|trending|most[-_]?|latest|recent|outbrain|taboola|archive",
    "author": r"author|byline|\bbio|profile|avatar|vcard|autor|contributor",
    "date": r"date|time|meta|publi|\binfo|datum|posted",
    "tags": r"\btags?|categor|topic|label|keyword",
    "ad": r"\bads?\b|advert|sponsor|promo|commercial|dfp|affiliate|anzeige|werbung|\bad[-_]",
    "subscribe": r"newsletter|subscri|sign[-_]?up|donat|\babo|regist|paywall|premium",
    "cookie": r"cookie|consent|gdpr|privacy|notice|alert|warning|message",
    "teaser": r"teaser|card|tile|grid|thumb|carousel|slide|gallery|swiper|feed",
    "item": r"item|list|row\b|col\b|col-",
    "caption": r"caption|credit|figure|image|img|photo|media|video|embed|player|bild",
    "login": r"login|account|user|member|search|form|input",
    "hidden": r"hidden|modal|popup|overlay|\bhide|print|screen-reader|sr-only|visually|invisible|display: ?none",
    "rating": r"rating|vote|review|score|price|cart|shop|product|buy",
    "tools": r"tools|toolbar|button|btn|icon|action|control|edit|permalink|download",
    "note": r"footnote|reference|citation|source|note|quote|pull|box",
    "code": r"highlight|code|source|syntax|literal|signature|\bsig\b|\bpre\b",
}
GROUPS = [*dict.fromkeys(TAGS.values()), *HINTS]
BITS = {name: 1 << place for place, name in enumerate([*dict.fromkeys(TAGS.values()), *(f".{hint}" for hint in HINTS)])}
TAG_BITS = {tag: BITS[group] for tag, group in TAGS.items()}

_PATTERNS = [(re.compile(pattern), BITS[f".{name}"]) for name, pattern in HINTS.items()]
NAMES = ("class", "id", "role", "itemprop")
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in HINTS.values()))
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_KNOWN_LIMIT = 50_000
_known: dict[str, int] = {}


def hint_bits(attributes: dict[str, str | None]) -> int:
    """The bits of an element's names. Names repeat within a site: they are remembered."""
    get = attributes.get
    if len(attributes) == 1 and (names := get("class")) and (found := _known.get(names)) is not None:
        return found  # most elements
    names = " ".join([value for name in NAMES if (value := get(name))])
    if "style" in attributes:
        names += " " + (get("style") or "")
    if "hidden" in attributes or get("aria-hidden") == "true":
        names += " hidden"
    found = _known.get(names)
    if found is None:
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        found = _known[names] = _match(names[:500])
    return found


def _match(names: str) -> int:
    names = _CAMEL.sub("-", names).lower()
    if not _ANY.search(names):
        return 0
    return sum(bit for pattern, bit in _PATTERNS if pattern.search(names))
