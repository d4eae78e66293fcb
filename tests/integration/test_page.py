"""The chat page in a real browser: a question is typed, the answer streams, it is stopped, another one is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, loaded
from ..unit.chat.conftest import ANSWER, QUESTION, one_thread, trained

__all__ = ["one_thread", "trained"]

pytestmark = pytest.mark.slow
chromium: Any = loaded(ROOT / "tests" / "browser.py")
LAST = "document.querySelector('#log article:last-of-type')"
ALT, SHIFT = 1, 8


@pytest.fixture(scope="module")
def devtools() -> Iterator[str]:
    if chromium.program() is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium: CI must have it")
        pytest.skip("no chromium: apt-get install chromium")
    with chromium.browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(trained: Path) -> Iterator[str]:
    """A model that knows one answer."""
    from crawl2chat.chat.session import ChatSession
    from crawl2chat.core.run import Run

    with loaded(ROOT / "tests" / "http_server.py").running(ChatSession.open(Run.open(trained))) as found:
        yield found


@pytest.fixture(scope="module")
def endless(trained: Path) -> Iterator[str]:
    """A model that writes until it is stopped."""
    module = loaded(ROOT / "tests" / "http_server.py")
    session = module.endless_session(trained / "tokenizer" / "tokenizer.json", context=16384)
    with module.running(session, name="endless") as found:
        yield found


@pytest.fixture
def page(devtools: str) -> Iterator[Any]:
    with chromium.tab(devtools) as found:
        found.look()
        yield found
        assert found.faults == []


def opened(page: Any, address: str) -> None:
    page.visit(address)
    page.value("(localStorage.clear(), sessionStorage.clear(), true)")
    page.visit(f"{address}/?again")
    page.until("document.title !== 'crawl2chat'")


def ask(page: Any, text: str) -> None:
    page.value("document.querySelector('#question').focus()")
    page.type(text)
    page.press("Enter")


def greedy(page: Any) -> None:
    """Temperature 0, by the settings' own slider."""
    page.click("#open")
    page.until("document.querySelector('dialog').open")
    page.value("(() => { const t = document.querySelector('#temperature'); t.value = 0;"
               " t.dispatchEvent(new Event('input')); })()")  # fmt: skip
    page.press("Escape")
    page.until("!document.querySelector('dialog').open")


def test_a_question_is_answered_as_it_is_written(page: Any, address: str) -> None:
    opened(page, address)
    assert page.value("document.querySelector('#model').textContent") == "small"
    assert page.value("document.querySelectorAll('.idea').length") == 0, "its questions are not known"
    assert page.value("document.activeElement.id") == "question"
    greedy(page)
    page.value("(() => { window.lengths = new Set(); new MutationObserver(() => lengths.add(("
               f"{LAST}?.querySelector('.text').textContent ?? '').length))"
               ".observe(document.querySelector('#log'), {childList: true, subtree: true}); })()")  # fmt: skip
    ask(page, QUESTION)
    page.until("document.querySelectorAll('#log article').length === 2 && !document.querySelector('.writing')")
    shown = page.value("[...document.querySelectorAll('#log .text')].map((one) => one.textContent)")
    assert shown == [QUESTION, ANSWER]
    assert page.value("lengths.size") > 2, "it came in one piece"
    assert "token" in page.value(f"{LAST}.querySelector('.facts').textContent")
    assert page.value("document.querySelector('#question').value") == ""
    assert {one.split("?")[0].removeprefix(address) for one in page.requested if not one.startswith("data:")} == {
        "/", "/page.css", "/page.js", "/v1/models", "/v1/chat/completions",
    }  # fmt: skip


def test_stop_keeps_what_is_there_and_frees_the_slot(page: Any, endless: str) -> None:
    opened(page, endless)
    ask(page, "Go on and on")
    page.until("document.querySelector('.writing .text').textContent.length > 40")
    assert page.value("document.querySelector('#send').hidden")
    page.click("#stop")
    page.until("!document.querySelector('.writing') && !document.querySelector('#send').hidden")
    assert page.value(f"{LAST}.querySelector('.text').textContent.length") > 40
    assert "stopped" in page.value(f"{LAST}.querySelector('.facts').textContent")
    loaded(ROOT / "tests" / "http_server.py").until_idle(endless)
    ask(page, "Once more")
    page.until("document.querySelector('.writing .text')?.textContent.length > 40")
    page.press("Escape")
    page.until("!document.querySelector('.writing')")
    assert page.value("document.querySelectorAll('#log article').length") == 4


def test_another_answer_another_question_a_new_chat(page: Any, endless: str) -> None:
    opened(page, endless)

    def stopped() -> str:
        page.until("document.querySelector('.writing .text')?.textContent.length > 40")
        page.press("Escape")
        page.until("!document.querySelector('.writing')")
        assert page.value("document.querySelectorAll('#log article').length") == 2
        return page.value(f"{LAST}.querySelector('.text').textContent")

    ask(page, "First")
    said = [stopped()]
    page.click("article:last-of-type .again")
    said.append(stopped())
    page.press("r", ALT)
    said.append(stopped())
    assert len({one[:40] for one in said}) == 3, "drawn anew each time"
    page.value("document.querySelector('#question').focus()")
    page.press("ArrowUp")
    assert page.value("document.querySelector('#question').value") == "First"
    page.press("Enter", SHIFT)
    page.type("and more")
    page.press("Enter")
    stopped()
    assert page.value("document.querySelector('.user .text').textContent") == "First\nand more"
    page.press("n", ALT)
    page.until("document.querySelectorAll('#log article').length === 0 && !document.querySelector('#welcome').hidden")


def test_settings_reach_the_server_and_stay(page: Any, endless: str) -> None:
    opened(page, endless)
    page.press("s", ALT)
    page.until("document.querySelector('dialog').open")
    page.click("#max-tokens")
    page.type("7")
    page.click("#seed")
    page.type("5")
    page.click("#system")
    page.type("Be brief.")
    page.press("Escape")
    said = []
    for _ in range(2):
        ask(page, "First")
        page.until("document.querySelectorAll('#log article').length === 2 && !document.querySelector('.writing')")
        assert page.value(f"{LAST}.querySelector('.facts').textContent").startswith("7 tokens")
        said.append(page.value(f"{LAST}.querySelector('.text').textContent"))
        page.press("n", ALT)
    assert said[0] == said[1]
    page.visit(f"{endless}/?reloaded")
    assert page.value("document.querySelector('#system').value") == "Be brief."


class Cut:
    """Around the application: the first streamed answer ends after some events, as when the server dies."""

    def __init__(self, app: Any) -> None:
        self.app, self.cut = app, False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions" or self.cut:
            await self.app(scope, receive, send)
            return
        self.cut, count = True, 0

        async def some(message: Any) -> None:
            nonlocal count
            count += message["type"] == "http.response.body"
            if count < 12:
                await send(message)
            elif count == 12:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.app(scope, receive, some)


def test_an_answer_that_breaks_off_is_not_shown_as_a_whole_one(page: Any, trained: Path) -> None:
    from crawl2chat.chat.session import ChatSession
    from crawl2chat.core.run import Run

    session = ChatSession.open(Run.open(trained))
    with loaded(ROOT / "tests" / "http_server.py").running(session, around=Cut) as address:
        opened(page, address)
        greedy(page)
        ask(page, QUESTION)
        page.until("document.querySelector('.notice') !== null")
        assert "The answer broke off." in page.value("document.querySelector('.notice').textContent")
        assert "broken off" in page.value(f"{LAST}.querySelector('.facts').textContent")
        part = page.value(f"{LAST}.querySelector('.text').textContent")
        assert part and part != ANSWER and ANSWER.startswith(part)
        page.click(".notice button")
        page.until("document.querySelectorAll('#log article').length === 2 && !document.querySelector('.writing')")
        assert page.value(f"{LAST}.querySelector('.text').textContent") == ANSWER
        assert page.value("document.querySelector('.notice')") is None


class Blank:
    """Around the application: the first streamed answer is white space, and goes on until it is stopped."""

    def __init__(self, app: Any) -> None:
        self.app, self.left = app, False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions" or self.left:
            await self.app(scope, receive, send)
            return
        self.left = True
        chunk = b'data: {"choices": [{"delta": {"content": " \\n\\u001f"}, "finish_reason": null}]}\n\n'
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass


def test_an_answer_of_white_space_does_not_end_the_conversation(page: Any, trained: Path) -> None:
    """The server takes no empty turn: neither one that was stopped, nor one that has been kept."""
    from crawl2chat.chat.session import ChatSession
    from crawl2chat.core.run import Run

    session = ChatSession.open(Run.open(trained))
    with loaded(ROOT / "tests" / "http_server.py").running(session, around=Blank) as address:
        opened(page, address)
        greedy(page)
        ask(page, "Say nothing")
        page.until("document.querySelector('.writing') !== null")
        page.value("new Promise((done) => setTimeout(done, 300))")
        page.press("Escape")
        page.until("!document.querySelector('.writing')")
        assert page.value("document.querySelectorAll('#log article').length") == 1
        page.value("""sessionStorage.setItem("turns", JSON.stringify([
            {role: "user", content: "Say nothing"}, {role: "assistant", content: " \\n\\u001f"}]))""")
        page.visit(f"{address}/?kept")
        page.until("document.title !== 'crawl2chat' && document.querySelectorAll('#log article').length === 2")
        ask(page, QUESTION)
        page.until("document.querySelectorAll('#log article').length === 4 && !document.querySelector('.writing')")
        assert page.value(f"{LAST}.querySelector('.text').textContent") == ANSWER


def test_the_models_own_sampling_and_questions(page: Any, trained: Path) -> None:
    """What the recipe says holds until the user sets something else, and again when that is taken back."""
    from crawl2chat.chat.session import ChatSession
    from crawl2chat.core.run import Run

    session = ChatSession.open(Run.open(trained))
    recipes: dict[str, Any] = {"sampling": {"temperature": 0.0, "top_k": None, "top_p": 0.4}, "questions": [QUESTION]}
    with loaded(ROOT / "tests" / "http_server.py").running(session, **recipes) as address:
        opened(page, address)
        page.until("document.querySelector('.idea') !== null")
        page.click(".idea")
        page.until("document.querySelectorAll('#log article').length === 2 && !document.querySelector('.writing')")
        shown = page.value("[...document.querySelectorAll('#log .text')].map((one) => one.textContent)")
        assert shown == [QUESTION, ANSWER], "at temperature 0, though nothing was set"
        said = "document.querySelector('#temperature-value').textContent"
        assert page.value(said) == "0.00, the model’s own"
        assert page.value("document.querySelector('#top-p-value').textContent") == "0.40, the model’s own"
        assert page.value("document.querySelector('#own').hidden")
        page.press("s", ALT)
        page.value("(() => { const t = document.querySelector('#temperature'); t.value = 1.5;"
                   " t.dispatchEvent(new Event('input')); })()")  # fmt: skip
        assert page.value(said) == "1.50" and not page.value("document.querySelector('#own').hidden")
        page.click("#own")
        assert page.value(said) == "0.00, the model’s own"
        assert page.value("JSON.parse(localStorage.getItem('settings')).temperature") is None


def test_what_the_model_says_is_text(page: Any, address: str) -> None:
    """Markup in a message, the user's or a kept answer, makes no element."""
    opened(page, address)
    page.value("""sessionStorage.setItem("turns", JSON.stringify([
        {role: "user", content: "<img src=x onerror=alert(1)>"},
        {role: "assistant", content: "<b>bold</b> **strong** `code`\\n\\n```py\\n<script>1</script>\\n```"}]))""")
    page.visit(f"{address}/?kept")
    page.until("document.querySelectorAll('#log article').length === 2")
    assert page.value("document.querySelectorAll('#log img, #log b, #log script').length") == 0
    assert page.value(f"{LAST}.querySelector('strong').textContent") == "strong"
    assert page.value(f"{LAST}.querySelector('pre').textContent") == "<script>1</script>"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_any_window_light_and_dark(page: Any, address: str, width: int, dark: bool, tmp_path: Path) -> None:
    page.look(width=width, height=740, dark=dark)
    opened(page, address)
    greedy(page)
    ask(page, QUESTION + " " + "longwordwithoutend" * 3)
    page.until("document.querySelectorAll('#log article').length === 2 && !document.querySelector('.writing')")
    assert page.value("document.documentElement.scrollWidth") <= width
    red, green, blue = page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 200) == dark
    page.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5_000


def test_a_server_with_a_key_asks_for_it(page: Any, trained: Path) -> None:
    from crawl2chat.chat.session import ChatSession
    from crawl2chat.core.run import Run
    from crawl2chat.serve.launch import digest_of
    from crawl2chat.serve.settings import ServerSettings

    session, settings = ChatSession.open(Run.open(trained)), ServerSettings(key_digest=digest_of("right"))
    with loaded(ROOT / "tests" / "http_server.py").running(session, settings) as address:
        page.visit(address)
        page.until("document.querySelector('.notice button') !== null")
        page.click(".notice button")
        page.until("document.activeElement.id === 'key'")
        page.type("right")
        page.press("Escape")
        page.until("document.querySelector('#model').textContent === 'small'")
        ask(page, QUESTION)
        page.until("document.querySelectorAll('#log article').length === 2")
    page.faults[:] = [one for one in page.faults if "401" not in one]  # the first answer, which the console lists
