"""How patterns and alphabets fit languages: one text in many languages, trained on its first two thirds in all of them,
measured on the rest.

    python benchmarks/fertility.py --json
"""

from __future__ import annotations

import sys
import zipfile

from _bench import SHARED, arguments, finish, print_table
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.fertility import count, rates
from crawl2chat.tokenize.train import train_tokenizer

LANGUAGES = {
    **{"eng": "English", "deu": "German", "vie": "Vietnamese", "rus": "Russian", "ell_monotonic": "Greek"},
    **{"heb": "Hebrew", "arb": "Arabic", "hin": "Hindi", "tam": "Tamil", "tha": "Thai", "kor": "Korean"},
    **{"jpn": "Japanese", "cmn_hans": "Chinese"},
}
VOCABULARIES = {
    "gpt2": Settings(pattern="gpt2"),
    "gpt4": Settings(pattern="gpt4"),
    "gpt4-marks": Settings(pattern="gpt4-marks"),
    "characters": Settings(pattern="gpt4-marks", alphabet="characters"),
}


def _cells(row: dict[str, float | int | str]) -> tuple[str, str]:
    return f"{row['fertility']:.2f}", f"{100 * float(row['unknown']):.2f}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--vocab-size", type=int, default=8192, metavar="N")
    options = parser.parse_args()
    path = SHARED / "data" / "udhr2" / "udhr2.zip"
    if not path.is_file():
        sys.exit(f"no {path}: it lies beside the repository, or where CRAWL2CHAT_SHARED points")
    with zipfile.ZipFile(path) as archive:
        present = {name.rpartition("/")[2].removesuffix(".txt"): name for name in archive.namelist()}
        texts = {name: archive.read(present[code]).decode() for code, name in LANGUAGES.items() if code in present}
    size = 2000 if options.quick else options.vocab_size
    cuts = {name: 2 * len(text) // 3 for name, text in texts.items()}
    learned = [text[: cuts[name]] for name, text in texts.items()]
    held_out = [text[cuts[name] :] for name, text in texts.items()]
    found = {}
    for vocabulary, settings in VOCABULARIES.items():
        tokenizer = Tokenizer(train_tokenizer([learned], size, settings))
        found[vocabulary] = {row["language"]: row for row in rates(count(tokenizer, list(texts), held_out))}
    heads = [f"{vocabulary}, {what}" for vocabulary in VOCABULARIES for what in ("bytes/token", "unknown %")]
    rows = [[name, *(cell for its in found.values() for cell in _cells(its[name]))] for name in texts]
    print_table(["language", *heads], rows)
    mean = {key: sum(float(row["fertility"]) for row in its.values()) / len(its) for key, its in found.items()}
    finish({f"fertility_{key.replace('-', '_')}": value for key, value in mean.items()}, options.json)


if __name__ == "__main__":
    main()
