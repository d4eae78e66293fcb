"""Language identification: top-1 accuracy a language, on parallel texts and on real pages.

    python benchmarks/language.py [--json] [--quick]

udhr: the Universal Declaration of Human Rights in the languages that lid.176 has a label for, whole and in pieces of
200 and 60 characters, and the former in capitals. debian: pages of Debian's documentation as our extraction gives them,
whole and in pieces (truth: the folder of their language; without the handbook, which holds untranslated pages). The
second table compares what the model is shown: all of a text, as datatrove does, or lower case and three windows, as we
do.
"""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence

from _bench import SHARED, arguments, finish, print_table

DATA = SHARED / "data"

# Files of udhr2 (ISO 639-3, some with a script or country) by the label of lid.176 that means their language. `als` is
# Tosk Albanian in ISO 639-3, Alemannic in lid.176; `no` is what lid.176 calls Bokmål.
UDHR = {
    label: names.split()
    for label, names in {
        "af": "afr", "am": "amh", "ar": "arb", "ast": "ast", "az": "azj_latn", "bcl": "bcl", "be": "bel", "bg": "bul",
        "bn": "ben", "bo": "bod", "br": "bre", "bs": "bos_latn", "ca": "cat", "ceb": "ceb", "ckb": "ckb", "co": "cos",
        "cs": "ces", "cy": "cym", "da": "dan", "de": "deu deu_1901", "dv": "div", "el": "ell_monotonic ell_polytonic",
        "eml": "eml", "en": "eng", "eo": "epo", "es": "spa", "et": "est", "eu": "eus", "fa": "pes_1 pes_2", "fi": "fin",
        "fr": "fra", "fy": "fri", "ga": "gle", "gd": "gla", "gl": "glg", "gn": "gug", "gu": "guj", "he": "heb",
        "hi": "hin", "hr": "hrv", "hsb": "hsb", "ht": "hat_kreyol hat_popular", "hu": "hun", "hy": "hye", "ia": "ina",
        "id": "ind", "ilo": "ilo", "io": "ido", "is": "isl", "it": "ita", "ja": "jpn", "jv": "jav", "ka": "kat",
        "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "ky": "kir", "la": "lat lat_1", "lb": "ltz", "lo": "lao",
        "lt": "lit", "lv": "lav", "mai": "mai", "mg": "plt", "min": "min", "mk": "mkd", "ml": "mal", "mn": "khk",
        "mr": "mar", "mt": "mlt", "my": "mya", "nds": "nds", "ne": "nep", "nl": "nld", "nn": "nno", "no": "nob",
        "oc": "prv", "os": "oss", "pa": "pan", "pam": "pam", "pl": "pol", "pnb": "pnb", "pt": "por_BR por_PT",
        "qu": "quz", "rm": "roh", "ro": "ron", "ru": "rus", "sa": "san", "sah": "sah", "sc": "src", "sco": "sco",
        "sk": "slk", "sl": "slv", "so": "som", "sq": "als", "sr": "srp_cyrl srp_latn", "su": "sun", "sv": "swe",
        "sw": "swh", "ta": "tam", "tg": "tgk", "th": "tha", "tk": "tuk_latn", "tl": "tgl", "tr": "tur", "tt": "tat",
        "tyv": "tyv", "ug": "uig_arab", "uk": "ukr", "ur": "urd", "uz": "uzn_latn", "vec": "vec", "vep": "vep",
        "vi": "vie", "wa": "wln", "war": "war", "yi": "ydd", "yo": "yor", "zh": "cmn_hans cmn_hant",
    }.items()
}  # fmt: skip
Texts = list[tuple[str, str]]  # (label, text)


def udhr() -> Texts:
    with zipfile.ZipFile(DATA / "udhr2" / "udhr2.zip") as archive:
        return [
            (label, archive.read(f"udhr2/{name}.txt").decode("utf-8"))
            for label, names in UDHR.items()
            for name in names
        ]


def debian() -> Texts:
    from crawl2chat.pipelines.extract import extract
    from crawl2chat.pipelines.sources.records import RawRecord
    from crawl2chat.pipelines.sources.warc import read_warc

    with gzip.open(DATA / "debian-multilang-html" / "pages.jsonl.gz", "rt", encoding="utf-8") as lines:
        pages = {row["url"]: row for row in map(json.loads, lines)}
    found = []
    with (DATA / "debian-multilang-html" / "pages.warc.gz").open("rb") as handle:
        for item in read_warc(handle, 10 << 20):
            if isinstance(item, RawRecord) and item.html and pages[item.url]["group"] != "debian-handbook":
                label = pages[item.url]["lang_dir"].replace("_", "-").partition("-")[0].lower()
                found.append((label, extract(item.html, item.charset).text))
    return found


def pieces(texts: Texts, length: int) -> Texts:
    joined = [(label, " ".join(text.split())) for label, text in texts]
    return [(a, t[at : at + length]) for a, t in joined for at in range(0, len(t) - length + 1, length)]


def accuracy(texts: Texts, identify: Callable[[Sequence[str]], list]) -> dict[str, float]:
    """The share of right answers by language."""
    right: dict[str, list[bool]] = defaultdict(list)
    for (label, _), (found, _) in zip(texts, identify([text for _, text in texts]), strict=True):
        right[label].append(found == label)
    return {label: sum(answers) / len(answers) for label, answers in right.items()}


def as_datatrove(texts: Sequence[str]) -> list[tuple[str, float]]:
    """The whole text with its capitals, newlines as blanks: what datatrove's LanguageFilter shows to the same model."""
    from crawl2chat.pipelines import language

    labels, scores = language._model().predict([text.replace("\n", " ") for text in texts], k=1)
    return [
        (a[0].removeprefix(language.LABEL) if len(a) else "", float(b[0]) if len(b) else 0.0)
        for a, b in zip(labels, scores, strict=True)
    ]


def main() -> None:
    options = arguments(__doc__).parse_args()
    from crawl2chat.pipelines.language import identify, known_languages

    assert set(UDHR) <= known_languages(), sorted(set(UDHR) - known_languages())
    whole, pages = udhr(), debian()
    sets = {"whole": whole, "200 chars": pieces(whole, 200), "60 chars": pieces(whole, 60), "debian": pages}
    sets["debian 200"] = pieces(pages, 200)
    capitals = [(label, text.upper()) for label, text in sets["200 chars"]]
    identify(["warm up"])
    found = {name: accuracy(texts, identify) for name, texts in sets.items()}
    if not options.quick:
        rows = [
            [label, *(found[name].get(label, "") for name in sets)]
            for label in sorted({*found["whole"], *found["debian"]})
        ]
        print_table(["language", *sets], rows)
        print()
    table, macro = [], {}
    for how, function in (
        ("lower case, three windows (ours)", identify),
        ("whole text (datatrove's way)", as_datatrove),
    ):
        results = [accuracy(texts, function) for texts in (*sets.values(), capitals)]
        macro[how] = [sum(result.values()) / len(result) for result in results]
        began = time.process_time()
        for _ in range(3):
            function([text for _, text in whole + pages])
        characters = 3 * sum(len(text) for _, text in whole + pages)
        table.append([how, *macro[how], characters / 3600 / (time.process_time() - began)])
    print("macro averages over languages; documents/s: of 3.6 thousand characters")
    print_table(["shown", *sets, "capitals 200", "documents/s"], table)
    ours, theirs = macro.values()
    names = ["udhr_whole", "udhr_200", "udhr_60", "debian", "debian_200", "udhr_capitals_200"]
    figures = {f"language_{name}": value for name, value in zip(names, ours, strict=True)}
    speedup = table[0][-1] / table[1][-1]
    finish({**figures, "language_debian_whole_text": theirs[3], "language_speedup": speedup}, options.json)


if __name__ == "__main__":
    main()
