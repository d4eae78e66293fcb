"""Personal data: what is masked, what is not, and that nothing takes long."""

from __future__ import annotations

import time

import pytest
from crawl2chat.core.settings_quality import Pii
from crawl2chat.pipelines.pii import KINDS, mask
from crawl2chat.pipelines.pii_numbers import luhn

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75\nabcdEFGH\n-----END RSA PRIVATE KEY-----"
LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3lM6"


def masked(text: str) -> tuple[str, dict[str, int]]:
    found = mask([text], Pii())[0]
    return found.text, found.counts


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("email", "jane.doe+news@mail.example.co.uk"),
        ("email", "JANE@EXAMPLE.COM"),
        ("email", "info@müller.de"),
        ("email", "jörg@example.org"),
        ("ip", "203.1.72.45"),
        ("ip", "66.211.168.193"),
        ("ip", "2001:4860:4860::8888"),
        ("ip", "2a00:1450:4001:81b::200e"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+49 (0)30 901820"),
        ("phone", "+14155552671"),
        ("phone", "0049 30 9018200"),
        ("phone", "(212) 555-0147"),
        ("phone", "1-800-555-0199"),
        ("phone", "415.555.2671"),
        ("phone", "020 7946 0958"),
        ("phone", "01 23 45 67 89"),
        ("phone", "030/9018200"),
        ("card", "4111 1111 1111 1111"),
        ("card", "5500-0055-5555-5559"),
        ("card", "378282246310005"),
        ("card", "3782 822463 10005"),
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "DE89370400440532013000"),
        ("iban", "NO93 8601 1117 947"),
        ("secret", "AKIAIOSFODNN7EXAMPLE"),
        ("secret", f"ghp_{LETTERS}"),
        ("secret", "xoxb-123456789012-1234567890123-AbCdEfGhIjKl"),
        ("secret", f"sk_live_{LETTERS[:24]}"),
        ("secret", f"AIza{LETTERS[:35]}"),
        ("secret", JWT),
        ("secret", KEY),
    ],
)
def test_what_is_masked(kind: str, data: str) -> None:
    word = getattr(Pii(), kind)
    assert masked(f"Reach {data}, or not.") == (f"Reach {word}, or not.", {kind: 1})
    assert masked(data) == (word, {kind: 1})
    assert masked(f"{data}\n{data}") == (f"{word}\n{word}", {kind: 2})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Tel.: 555 12 34", "Tel.: [PHONE]"),
        ("Телефон 123-45-67", "Телефон [PHONE]"),
        ("电话：02161234567", "电话：[PHONE]"),
        ("IBAN: GB82 WEST 1234 5698 7654 32 IS MINE", "IBAN: [IBAN] IS MINE"),
        ('aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', 'aws_secret_access_key = "[SECRET]"'),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXX", "https://hooks.slack.com/[SECRET]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nAQEFAASCBKcwggSjAgEA\ncut", "[SECRET]\ncut"),
        ("<joe@example.com>, http://8.34.21.19:80/x", "<[EMAIL]>, http://[IP]:80/x"),
        ("joe@example.com.", "[EMAIL]."),
    ],
)
def test_what_stands_around_it_stays(text: str, left: str) -> None:
    assert masked(text)[0] == left


@pytest.mark.parametrize(
    "text",
    [
        "user@localhost and @handle and lodash@4.17.21 and icon@2x.png",
        "y = A@B.transpose() + W@x.flatten()",
        "127.0.0.1 10.1.2.3 192.168.1.1 172.16.99.1 169.254.10.20 0.0.0.0 255.255.255.255 192.0.2.45",
        "version 12.4.33.21, v11.22.33.44, Chrome/91.10.44.12, section 3.1.2.4, libfoo-10.20.30.40",
        "12.2.3.3. Using a name\n15.3.3.19 Another",
        "1.2.3.4.5.6 and 300.400.500.600 and 12.34.56",
        "std::vector<a::b> and 12:34:56 and fe80::1 and 2001:db8::1 and ::1",
        "from 2019-01-02 to 2020-03-04, on 01.02.2003, 12/31/1999 23:59, 2024-06-30 10:00",
        "ISBN 978-3-16-148410-0, ISBN-10: 0-306-40615-2, ISSN 0317-8471, doi 10.1000/182",
        "the years 1914-1918 and 1939-1945; pages 123-145, 200-210",
        "3.14159265358979 0.123456789 1,234,567,890 1 234 567 890 12345678901234567890",
        "100 200 3000 4000 50 60 70 80 90 100 110 120 130",
        "x = 0x1234567890abcdef; y = 1234567890; id=4539148803436467; a[1234567]",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b, 123e4567-e89b-12d3-a456-426614174000",
        "4111 1111 1111 1112 and 1234 5678 9012 3456 and 9111111111111111",
        "GB82 WEST 1234 5698 7654 33 and XX82 1234 5698 7654 32 and DE89 3704 0044 0532 0130",
        "sk_test_abcdefghijklmnopqrstuvwx pk_live_abcdefghijklmnopqrstuvwx ghp_short AKIA eyJ.eyJ.x sk-learn-contrib",
        "begin with -----BEGIN PRIVATE KEY----- as its first line",
        "5 +12345678 and 3+4 and C++11 and 1-2-3-4-5-6-7",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert masked(text) == (text, {})


def test_kinds_are_switched_and_worded_one_by_one() -> None:
    text = "joe@example.com 66.211.168.193"
    assert mask([text], Pii(email=None))[0] == ("joe@example.com [IP]", {"ip": 1})
    assert mask([text], Pii(email="<mail>", ip=""))[0] == ("<mail> ", {"email": 1, "ip": 1})
    assert mask([text], Pii(**dict.fromkeys(KINDS)))[0] == (text, {})


def test_masking_again_and_in_another_batch_changes_nothing() -> None:
    texts = ["", "joe@example.com", "no data", f"{JWT} +44 20 7946 0958", "4111111111111111 ü 66.211.168.193"]
    once = mask(texts, Pii())
    assert [one.text for one in mask([one.text for one in once], Pii())] == [one.text for one in once]
    assert [mask([text], Pii())[0] for text in texts] == once


def test_check_digits() -> None:
    assert luhn("79927398713")
    assert [digit for digit in "0123456789" if luhn(f"7992739871{digit}")] == ["3"]


@pytest.mark.parametrize(
    "text",
    [
        "1" * 400_000,
        "1 " * 200_000,
        "1-" * 200_000,
        "(" * 400_000,
        "+1(" * 130_000,
        "a@" * 200_000,
        "a." * 200_000 + "@",
        "x" * 200_000 + "@" + "y." * 100_000,
        "1." * 200_000,
        "2a00:" * 80_000,
        "4111 " * 80_000,
        "GB82 " * 80_000,
        "A" * 400_000,
        " eyJ" + "a" * 400_000,
        " eyJaaaaaaaaaaaaaa." * 20_000,
        "-----BEGIN PRIVATE KEY-----\n" * 14_000,
        "-----BEGIN PRIVATE KEY-----" + " " * 400_000,
        "aws secret " * 36_000,
        "sk-" * 130_000,
        "Tel. " * 80_000 + "1",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_is_bounded_whatever_a_text_holds(text: str) -> None:
    """Some tenths of a second for 400,000 characters; what would be quadratic takes minutes."""
    began = time.process_time()
    masked(text)
    assert time.process_time() - began < 20
