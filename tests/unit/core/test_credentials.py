"""What gives access is not shown; what merely looks like it stays."""

from __future__ import annotations

import pytest
from crawl2chat.core.credentials import is_masked, masked, values_without_credentials, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file at https://jane:pass@host/a.jsonl", "no file at https://***@host/a.jsonl"),
        ("s3://AKIA:b/c@d@bucket/x", "s3://***@bucket/x"),
        ("http://localhost:8080/x/@user", "http://localhost:8080/x/@user"),
        ('{"url":"https://h","mail":"a@b"}', '{"url":"https://h","mail":"a@b"}'),
        ("https://u:p@ss@host", "https://***@host"),
        ("https://token@host/x", "https://***@host/x"),
        ("//u:p@host:8080/x", "//***@host:8080/x"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("https://h/x?page=2&access_token=abc#top", "https://h/x?page=2&access_token=***#top"),
        ("https://h/x?X-Amz-Signature=a1&X-Amz-Date=2", "https://h/x?X-Amz-Signature=***&X-Amz-Date=2"),
        ("('https://h/x?sig=a%2Bb')", "('https://h/x?sig=***')"),
        ("https://h/x?API_KEY=1;password=2", "https://h/x?API_KEY=***;password=***"),
        ("Authorization: Bearer abcdef.ghi-jkl", "Authorization: Bearer ***"),
        ("https://h/@user/x?author=me&keys=3&code=de", "https://h/@user/x?author=me&keys=3&code=de"),
        ("write to jane@example.org; 7 // 2", "write to jane@example.org; 7 // 2"),
        ("Authorization: Basic amFuZTpwYXNz", "Authorization: Basic ***"),
        ("Basic training", "Basic training"),
    ],
)
def test_credentials_are_blanked(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert without_credentials(shown) == shown


def test_texts_in_a_recipe_are_reached_wherever_they_stand() -> None:
    found = values_without_credentials({"https://a:b@c": [1, None, {"x": "https://a:b@c/?key=d"}], "n": 2.5})
    assert found == {"https://a:b@c": [1, None, {"x": "https://***@c/?key=***"}], "n": 2.5}


def test_values_of_secret_variables_are_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "HF_TOKEN": "hf_abcdef",
        "AWS_SECRET_ACCESS_KEY": "k/e+y=1",
        "AWS_ACCESS_KEY_ID": "AKIAX",
        "DB_PASSWORD": "db-secret",
        "MY_API_KEY": "hf_abcdefgh",  # the longer one first
        "RAY_AUTH_TOKEN_PATH": "/home/jane/token",
        "TOKENIZERS_PARALLELISM": "falsehood",
        "SHORT_TOKEN": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    shown = masked("hf_abcdefgh hf_abcdef k/e+y=1 k%2Fe%2By%3D1 db-secret /home/jane/token falsehood 1")
    assert shown == "*** *** *** *** *** /home/jane/token falsehood 1"
    assert without_credentials("hf_abcdef") == "hf_abcdef", "names and fingerprints do not depend on the environment"


def test_an_address_without_its_credentials_is_known() -> None:
    addresses = ["https://jane:pass@host/x", "s3://bucket/a*b", "https://h/x?token=1", "https://h/x?page=1", "a=***/b"]
    assert [is_masked(without_credentials(one)) for one in addresses] == [True, False, True, False, False]
