"""Texts on which encoders must agree before one of them encodes a run: real ones, many scripts, and the unlike.

sentences     a sentence or two in the scripts of the world
mixtures      pseudo-random runs of the characters on which rules turn: white space of all kinds and line ends, both
              apostrophes and what follows them in contractions, combining marks, digits of other scripts, surrogate
              pairs' code points, what is unassigned, what is no character
code points   each one of Unicode's that is a scalar value, in order, with letters, digits and spaces between
long          a word, a number, a run of spaces, of line ends, of punctuation, each far longer than any table holds
"""

from __future__ import annotations

import random
from collections.abc import Iterator

SENTENCES = (
    "The quick brown fox doesn't jump; it's 12,345.67 miles away -- isn't it? \"We'll see,\" they'd said (I'm sure).",
    "L’été dernier, j’ai mangé des crêpes à l’Île-d’Yeu ; c’était délicieux !\r\n\r\n– Où ça ?\r\n",
    "Größe, Übermut und Straßen: 3½ Äpfel kosten 1.299,00 €.",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.",
    "İstanbul'da ışık, ığdır'ın gölü. Ŧhe ſong's Kelvin K.",
    "Съешь ещё этих мягких французских булок, да выпей чаю. 2024 г. — №5",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Τί ἐστιν;",
    "نص حكيم له سر قاطع، وذو شأن عظيم: ٠١٢٣٤٥٦٧٨٩.",
    "דג סקרן שט בים מאוכזב. שָׁלוֹם 42",
    "ऋषियों को सताने वाले दुष्ट राक्षसों का सर्वनाश। १२३४५६",
    "আমি বাংলায় গান গাই। தமிழ் மொழி இனிது. తెలుగు భాష. ಕನ್ನಡ. മലയാളം. ગુજરાતી. ਪੰਜਾਬੀ. සිංහල",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓ ລາວ ភាសាខ្មែរ မြန်မာဘာသာ བོད་སྐད།",
    "いろはにほへと、ちりぬるを。カタカナ、ﾊﾝｶｸ！ 第１２３号",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。𠀀𠮷𪚥 一二三〇",
    "키스의 고유조건은 입술끼리 만나야 하고. ᄒᆞᆫ글 각",
    "გთხოვთ ახლავე. Բարեւ Ձեզ: አማርኛ ቋንቋ። ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ꦗꦮ ⴰⵎⴰⵣⵉⵖ",
    "e\u0301 n\u0303 a\u0323\u0302 x\u0336y\u0336 \u0301alone \u0940 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞a͉l̡go",
    "😀👩‍👩‍👧‍👦🏳️‍🌈 ☎️ 1️⃣ 🇪🇺🇫🇷 ♥︎ ©®™ ∑∫√ →⇒ ½⅓Ⅷⅷ① x²+y₁ ﬁﬂﬀ",
    "def f(x):\n\treturn {'a': x['b'], \"c\": 0x1F}  # it's\n\n\n    if not x:\r\n\t\tpass\r\r\n",
    '<a href="u?q=1&amp;r=2">…</a>',
    "<|endoftext|><|user|> <|end|> </s> <unk> <0x41><0xC3> [MASK] \\u0041 \x00\x01\x1b[0m\x7f",
)
_ON_WHICH_RULES_TURN = [
    *"aBzéßſKıİ漢字かא",
    *"0129٣７½²Ⅷ〇",
    *("ा", "ี", "\u0301", "\u0336", "\u200d", "\ufe0f", "\U000e0100"),
    *(" ", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\x0b", "\x0c", "\x85", "\u00a0", "\u1680", "\u2003"),
    *("\u2028", "\u2029", "\u202f", "\u3000", "\x1c", "\x1f", "\u180e", "\u200b", "\u2060", "\ufeff"),
    *("'", "’", "'s", "'S", "'t", "'re", "'RE", "'Ve", "'ll", "'lL", "'m", "'d", "'ſ", "’s", "’ll", "'r", "'v", "'l"),
    *'.,-_!?/\\(){}<>|"#@&*~`^$%+=€',
    *("😀", "🇪", "\U00020000", "\U0001d7d8", "\U00010400", "\U000f0000", "\u0378", "\ufffe", "\ufffd", "\x00", "\x7f"),
]


def probes(thorough: bool = False) -> list[str]:
    """The texts, the same each time. Thorough: all code points and the long ones; else the other two, in a tenth of a
    second."""
    found = ["", *SENTENCES, *(text for size in (1, 2, 3, 6, 12, 60) for text in _mixtures(size, 300))]
    return [*found, *_code_points(), *_long()] if thorough else found


def _mixtures(size: int, count: int) -> Iterator[str]:
    drawn = random.Random(size)
    return ("".join(drawn.choices(_ON_WHICH_RULES_TURN, k=size)) for _ in range(count))


def _code_points() -> Iterator[str]:
    """Some 1.1 million. In the planes that are assigned each stands behind a letter, behind a digit, and behind a space
    (in this order, one after the other); in the others they stand alone."""
    for begin in range(0, 0x110000, 1 << 12):
        points = [chr(point) for point in range(begin, begin + (1 << 12)) if not 0xD800 <= point < 0xE000]
        between = "a1 " if begin < 0x20000 else [""]
        yield "".join(f"{between[place % len(between)]}{point}" for place, point in enumerate(points))


def _long() -> list[str]:
    units = ("a", "é", "漢", "7", " ", "\n", " \n", "\u00a0", ".", "\u0301", "ab", "'s", "\r\n", "\U00020000")
    return [unit * 70_000 for unit in units] + ["x" * 1_000_000, " " * 300_000 + "x", "antidis" * 30_000]
