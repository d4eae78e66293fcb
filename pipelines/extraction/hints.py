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
HINTS = {  # patterns for one word of a name, in lower case
    "content": r"content|inhalt|contenu|contenido|document",
    "article": r"article|artikel|hentry|blogposting",
    "body": r"body|text|^copy$|prose|markdown|richtext",
    "post": r"post|entry|blog",
    "story": r"story|news",
    "main": r"^main|primary|haupt|center",
    "title": r"title|headline|heading|titre|titel",
    "lead": r"^lead|intro|summary|excerpt|abstract|standfirst|deck|subtitle|^dek$",
    "comment": r"comment|kommentar|disqus|respond|repl(y|ies)|discuss",
    "share": r"shar(e|ing)|social|twitter|facebook|addthis|follow|whatsapp",
    "nav": r"nav|menu|breadcrumb|paginat|pager|^toc|sitemap|skip|prev|next",
    "footer": r"foot|bottom|colophon|copyright|imp?ressum|legal|license",
    "header": r"header|masthead|topbar|banner|logo|branding",
    "sidebar": r"side|aside|rail$|right|left|widget|secondary|complementary",
    "related": r"relat|recommend|similar|^more|also|popular|trending|^most|latest|recent|outbrain|taboola|archive",
    "author": r"author|byline|^bio|profile|avatar|vcard|autor|contributor",
    "date": r"date|time|meta|publi|^info|datum|posted",
    "tags": r"^tags?|categor|topic|label|keyword",
    "ad": r"^ads?$|advert|sponsor|promo|commercial|dfp|affiliate|anzeige|werbung",
    "subscribe": r"newsletter|subscri|^sign$|signup|donat|^abo|regist|paywall|premium",
    "cookie": r"cookie|consent|gdpr|privacy|notice|alert|warning|message",
    "teaser": r"teaser|card|tile|grid|thumb|carousel|slide|gallery|swiper|feed",
    "item": r"item|list|^row$|^col",
    "caption": r"caption|credit|figure|image|img|photo|media|video|embed|player|bild",
    "login": r"login|account|user|member|search|form|input",
    "hidden": r"hidden|modal|popup|overlay|^hide|print|^sr$|reader|visually|invisible",
    "rating": r"rating|vote|review|score|price|cart|shop|product|buy",
    "tools": r"tools|toolbar|button|btn|icon|action|control|edit|permalink|download",
    "note": r"footnote|reference|citation|source|note|quote|pull|box",
    "code": r"highlight|code|source|syntax|literal|signature|^sig$|^pre$",
    "article_body": r"(article|post|entry|story|page|news|main|blog|single)(body|content|text|copy)",
}
WHOSE = frozenset(("article", "post", "entry", "story", "page", "news", "main", "blog", "single"))
WHAT = frozenset(("body", "content", "text", "copy"))  # behind one of the above: an article_body too
GROUPS = [*dict.fromkeys(TAGS.values()), *(f".{hint}" for hint in HINTS)]
BITS = {name: 1 << place for place, name in enumerate(GROUPS)}
TAG_BITS = {tag: BITS[group] for tag, group in TAGS.items()}

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PATTERNS = [(re.compile(pattern), BITS[f".{name}"]) for name, pattern in HINTS.items()]
_ANY = re.compile("|".join(HINTS.values()))
_KNOWN_LIMIT = 50_000
_names: dict[str | tuple[str | bool | None, ...], int] = {}
_words: dict[str, int] = {}


def hint_bits(attributes: dict[str, str | None]) -> int:
    """The bits of an element's names. Names repeat within a site, and their words everywhere: both are remembered."""
    get = attributes.get
    key = get("class") if len(attributes) == 1 else None  # most elements have a class only
    key = key or (
        *(get("class"), get("id"), get("role"), get("itemprop"), get("style"), get("aria-hidden")),
        "hidden" in attributes,
    )
    found = _names.get(key)
    if found is None:
        if len(_names) >= _KNOWN_LIMIT:
            _names.clear()
        found = _names[key] = _read(attributes)
    return found


def _read(attributes: dict[str, str | None]) -> int:
    get = attributes.get
    found = _match(" ".join([value for name in ("class", "id", "role", "itemprop") if (value := get(name))])[:500])
    if "hidden" in attributes or get("aria-hidden") == "true" or "none" in (get("style") or ""):
        found |= BITS[".hidden"]
    return found


def _match(names: str) -> int:
    """Word by word; capitals begin words too."""
    found, before = 0, ""
    for word in _WORDS.findall(names):
        word = word.lower()
        bits = _words.get(word)
        if bits is None:
            if len(_words) >= _KNOWN_LIMIT:
                _words.clear()
            bits = sum(bit for pattern, bit in _PATTERNS if pattern.search(word)) if _ANY.search(word) else 0
            _words[word] = bits
        found |= bits
        if word in WHAT and before in WHOSE:
            found |= BITS[".article_body"]
        before = word
    return found
