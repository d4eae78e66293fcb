// The chat page: keeps the conversation, asks /v1/chat/completions for a stream, shows it as it comes.
// Text of the model and of the user enters the page as text only, never as HTML.

const $ = (id) => document.getElementById(id);
const [log, question, send, stop, dialog] = ["log", "question", "send", "stop", "settings"].map($);
const DEFAULTS = { system: "", temperature: null, topP: null, maxTokens: "", seed: "", theme: "auto" }; // null: the model's own

const settings = { ...DEFAULTS, ...read(localStorage, "settings", {}) };
let key = read(sessionStorage, "key", "");
let turns = read(sessionStorage, "turns", []); // [{role, content, facts?}]
let model = null;
let own = { temperature: 1, topP: 1 }; // how the model is sampled where a request does not say
let running = null; // the AbortController of the answer that is being written

function read(store, name, otherwise) {
  try { return JSON.parse(store.getItem(name)) ?? otherwise; } catch { return otherwise; }
}
function keep(store, name, value) {
  try { store.setItem(name, JSON.stringify(value)); } catch { /* a browser without storage: only for this visit */ }
}

// ── showing ────────────────────────────────────────────────────────────────────────────────────────────────────────

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function button(text, title, action) {
  const made = element("button", "", text);
  Object.assign(made, { type: "button", title, onclick: action });
  return made;
}

/** Paragraphs, fenced code, `code` and **bold**; everything else as it is. */
function render(text) {
  const blocks = [];
  text.split(/```/).forEach((part, number) => {
    if (number % 2) blocks.push(element("pre", "", element("code", "", part.replace(/^[\w+-]*\n/, "").replace(/\n$/, ""))));
    else for (const paragraph of part.split(/\n{2,}/)) if (paragraph.trim()) blocks.push(element("p", "", ...inline(paragraph.replace(/^\n+|\n+$/g, ""))));
  });
  return blocks;
}

function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return element("code", "", part.slice(1, -1));
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return element("strong", "", part.slice(2, -2));
    return part;
  });
}

/** Nothing but white space, as the server sees it: it takes no turn of that. */
function blank(text) { return !/[^\s\x1c-\x1f\x85]/.test(text); }

function nearEnd() {
  const main = $("scroll");
  return main.scrollHeight - main.scrollTop - main.clientHeight < 80;
}

function toEnd() { $("scroll").scrollTop = $("scroll").scrollHeight; }

function show() {
  log.replaceChildren(...turns.map(article));
  kept();
}

function push(turn) {
  turns.push(turn);
  log.append(article(turn, turns.length - 1));
  kept();
}

function pop() {
  turns.pop();
  for (const one of log.querySelectorAll("article:last-of-type, .notice")) one.remove();
  kept();
}

function kept() {
  $("welcome").hidden = turns.length > 0;
  keep(sessionStorage, "turns", turns);
  toEnd();
}

function article(turn, number) {
  const text = element("div", "text");
  const under = element("div", "under");
  if (turn.role === "user") {
    text.textContent = turn.content;
    under.append(button("Edit", "Ask this again in other words", () => edit(number)));
  } else {
    text.replaceChildren(...render(blank(turn.content) ? "(The model had nothing to say.)" : turn.content));
    if (turn.facts) under.append(element("span", "facts", turn.facts));
    under.append(button("Copy", "Copy the answer", (event) => copy(turn.content, event.currentTarget)));
    const again = button("Regenerate", "Ask for another answer (Alt+R)", regenerate);
    again.className = "again"; // hidden but in the last answer
    under.append(again);
  }
  return element("article", turn.role, text, under);
}

function notice(message, label, action) {
  const made = element("div", "notice", message);
  made.setAttribute("role", "alert");
  if (label) made.append(button(label, "", () => { made.remove(); action(); }));
  log.append(made);
  toEnd();
  return made;
}

async function copy(text, at) {
  try {
    await navigator.clipboard.writeText(text);
    at.textContent = "Copied";
  } catch { at.textContent = "Not allowed"; }
  setTimeout(() => { at.textContent = "Copy"; }, 1400);
}

// ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function headers() {
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

function body() {
  const system = settings.system.trim();
  const unanswered = (turn, number) => blank(turn.content) || blank(turns[number + 1]?.content ?? "none yet");
  const messages = turns.filter((turn, number) => !unanswered(turn, number)).map(({ role, content }) => ({ role, content }));
  const asked = {
    model,
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    stream: true,
    stream_options: { include_usage: true },
    truncation: "auto", // the oldest turns go when the conversation is longer than the model's context
  };
  if (settings.temperature !== null) asked.temperature = settings.temperature;
  if (settings.topP !== null) asked.top_p = settings.topP;
  if (settings.maxTokens) asked.max_completion_tokens = Number(settings.maxTokens);
  if (settings.seed !== "") asked.seed = Number(settings.seed);
  return JSON.stringify(asked);
}

/** The objects of a stream of server-sent events, up to its end, be it the right one or not. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function ask() {
  if (running) return;
  const control = (running = new AbortController());
  const mine = turns; // another array when the conversation was begun anew in the meantime
  for (const one of log.querySelectorAll(".notice")) one.remove();
  state(true);
  const answer = { role: "assistant", content: "", facts: "" };
  const text = element("div", "text");
  const shown = element("article", "assistant writing", text, element("div", "under"));
  log.append(shown);
  toEnd();
  const began = performance.now();
  let drawing = 0;
  let first = 0;
  let usage = null;
  let finish = null;
  let failure = null;
  const draw = () => {
    drawing = 0;
    const follow = nearEnd();
    text.replaceChildren(...render(answer.content));
    if (follow) toEnd();
  };
  try {
    const response = await fetched(control.signal);
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const choice = event.choices[0];
      if (!choice) continue;
      first ||= performance.now();
      answer.content += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
      drawing ||= requestAnimationFrame(draw);
    }
    if (!finish) throw new Error("the answer broke off");
  } catch (error) {
    if (error.name !== "AbortError") failure = error;
  }
  cancelAnimationFrame(drawing);
  const stopped = control.signal.aborted;
  answer.facts = facts(usage, performance.now() - (first || began), finish, stopped, failure);
  running = null;
  shown.remove();
  if (turns === mine && (finish || !blank(answer.content))) push(answer);
  state(false);
  if (failure) report(failure);
}

/** The response, after waiting where the server is busy. */
async function fetched(signal) {
  for (let tries = 0; ; tries += 1) {
    const response = await fetch("v1/chat/completions", { method: "POST", headers: headers(), body: body(), signal });
    if (response.ok) return response;
    const seconds = Number(response.headers.get("Retry-After")) || 2;
    if (response.status === 429 && tries < 5) {
      const waiting = notice(`The server is busy. Trying again in ${seconds} s …`);
      await new Promise((resolve, reject) => {
        setTimeout(resolve, seconds * 1000);
        signal.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
      }).finally(() => waiting.remove());
      continue;
    }
    const told = await response.json().catch(() => null);
    const error = new Error(told?.error?.message ?? `the server answers ${response.status}`);
    error.code = told?.error?.code;
    throw error;
  }
}

function facts(usage, milliseconds, finish, stopped, failure) {
  const parts = [];
  if (usage) {
    const tokens = usage.completion_tokens;
    parts.push(`${tokens} token${tokens === 1 ? "" : "s"}`);
    if (tokens > 1) parts.push(`${Math.round((tokens / Math.max(milliseconds, 1)) * 1000)} a second`);
  }
  if (stopped) parts.push("stopped");
  else if (failure) parts.push("broken off");
  else if (finish === "length") parts.push("cut at the longest length");
  return parts.join(" · ");
}

function report(error) {
  if (error.code === "invalid_api_key") {
    notice("This server wants an API key.", "Enter it", () => { dialog.showModal(); $("key").focus(); });
  } else if (error instanceof TypeError) {
    notice("The server cannot be reached.", "Try again", retry);
  } else {
    notice(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`, "Try again", retry);
  }
}

function retry() {
  if (turns.at(-1)?.role === "assistant") regenerate(); // it broke off in the middle
  else if (turns.length) ask();
}

function state(busy) {
  send.hidden = busy;
  stop.hidden = !busy;
  send.disabled = !question.value.trim() || !model;
  document.querySelector(".dot").classList.toggle("busy", busy);
  log.setAttribute("aria-busy", String(busy));
}

// ── what the user does ─────────────────────────────────────────────────────────────────────────────────────────────

function submit(text) {
  const content = text.trim();
  if (!content || running || !model) return;
  if (turns.at(-1)?.role === "user") pop(); // a question that was never answered: ask the new one instead
  push({ role: "user", content });
  question.value = "";
  grow();
  ask();
}

function regenerate() {
  if (running || turns.at(-1)?.role !== "assistant") return;
  pop();
  ask();
}

function edit(number) {
  if (running) running.abort();
  question.value = turns[number].content;
  turns = turns.slice(0, number);
  show();
  grow();
  question.focus();
}

function restart() {
  if (running) running.abort();
  turns = [];
  show();
  question.focus();
}

function grow() {
  if (!CSS.supports("field-sizing", "content")) {
    question.style.height = "auto";
    question.style.height = `${question.scrollHeight}px`;
  }
  send.disabled = !question.value.trim() || !model;
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); submit(question.value); });
question.addEventListener("input", grow);
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(question.value); }
  const last = turns.findLastIndex((turn) => turn.role === "user");
  if (event.key === "ArrowUp" && !question.value && last >= 0 && !running) { event.preventDefault(); edit(last); }
});
stop.addEventListener("click", () => { running?.abort(); question.focus(); });
$("new").addEventListener("click", restart);
$("open").addEventListener("click", () => dialog.showModal());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => { if (!model) connect(); question.focus(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !dialog.open) running.abort();
  if (event.altKey && event.code === "KeyN") { event.preventDefault(); restart(); }
  if (event.altKey && event.code === "KeyS") { event.preventDefault(); dialog.showModal(); }
  if (event.altKey && event.code === "KeyR") { event.preventDefault(); regenerate(); }
});

// ── settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

const bound = []; // functions that show what is set

function bind(id, name, number) {
  const input = $(id);
  const output = $(`${id}-value`);
  const tell = () => {
    if (output) output.textContent = `${Number(input.value).toFixed(2)}${settings[name] === null ? ", the model’s own" : ""}`;
    $("own").hidden = settings.temperature === null && settings.topP === null;
  };
  bound.push(() => { input.value = settings[name] ?? own[name]; tell(); });
  input.addEventListener("input", () => {
    if (!input.checkValidity()) return;
    settings[name] = number ? Number(input.value) : input.value;
    keep(localStorage, "settings", settings);
    tell();
  });
}

function showSettings() { for (const one of bound) one(); }

bind("system", "system");
bind("temperature", "temperature", true);
bind("top-p", "topP", true);
bind("max-tokens", "maxTokens");
bind("seed", "seed");
showSettings();
$("own").addEventListener("click", () => {
  settings.temperature = settings.topP = null;
  keep(localStorage, "settings", settings);
  showSettings();
});
$("key").value = key;
$("key").addEventListener("input", () => { key = $("key").value.trim(); keep(sessionStorage, "key", key); });

function theme() {
  if (settings.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme;
}
for (const input of document.querySelectorAll("input[name=theme]")) {
  input.checked = input.value === settings.theme;
  input.addEventListener("change", () => { settings.theme = input.value; keep(localStorage, "settings", settings); theme(); });
}
theme();

// ── beginning ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Questions to begin with, where the model's recipe has some. */
function propose(questions) {
  $("ideas").replaceChildren(...questions.slice(0, 4).map((text) => {
    const idea = button(text, "Ask this", () => submit(text));
    idea.className = "idea";
    return element("li", "", idea);
  }));
}

async function connect() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    const told = await response.json();
    if (!response.ok) throw Object.assign(new Error(told.error.message), { code: told.error.code });
    const [first] = told.data;
    model = first.id;
    $("model").textContent = model;
    $("about").textContent = `reads ${first.context_window.toLocaleString("en")} tokens at a time`;
    document.title = model;
    own = { temperature: first.sampling.temperature, topP: first.sampling.top_p ?? 1 };
    showSettings();
    propose(first.questions);
    document.querySelector(".dot").classList.remove("off");
    for (const one of log.querySelectorAll(".notice")) one.remove();
  } catch (error) {
    document.querySelector(".dot").classList.add("off");
    $("model").textContent = "not connected";
    if (error.code === "invalid_api_key") report(error);
    else notice("The server cannot be reached.", "Try again", connect);
  }
  grow();
}

show();
state(false);
connect();
