"""`crawl2chat data WORD`: options that do not go together are refused, before the run is even opened."""

from __future__ import annotations

import pytest
from crawl2chat.cli import main
from crawl2chat.pipelines.data_verbs import WORDS


def test_what_is_kept_has_no_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "--run", "no/such/run", "--kept", "--reason", "gopher"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--kept and --reason gopher: what is kept has no reason" in said
    assert "fix: leave out one of the two" in said


@pytest.mark.parametrize("option", ["--n", "--chars"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5"])
def test_numbers_of_samples_start_at_one(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "inspect", "--run", "no/such/run", f"{option}={value}"])
    assert caught.value.code == 2
    assert f"argument {option}: '{value}': give a whole number of at least 1" in capsys.readouterr().err


def test_help_of_data_names_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    said = capsys.readouterr().out
    for word in WORDS:
        assert f"crawl2chat data {word} " in said


@pytest.mark.parametrize(("word", "meant"), [("statz", "stats"), ("train_classifier", "train-classifier")])
def test_a_misspelt_word_is_answered_with_the_right_one(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", word, "--run", "runs/tiny"])
    assert caught.value.code == 2
    assert f"did you mean `crawl2chat data {meant}`?" in capsys.readouterr().err
    assert main(["data", "no_recipe.yaml"]) == 2
    assert "no recipe at no_recipe.yaml" in capsys.readouterr().err
