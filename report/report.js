"use strict";
// Values under the pointer. Each chart says in data-scales how places and values belong together:
// x low, high, begin, end, log; y the same.
for (const chart of document.querySelectorAll("svg.chart")) {
  const [x, y] = scales(chart.dataset.scales);
  const lines = [];
  for (const piece of chart.querySelectorAll("polyline[data-name]")) {
    const at = piece.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
    const known = lines.find((one) => one.name === piece.dataset.name);
    known ? known.at.push(...at) : lines.push({ name: piece.dataset.name, at });
  }
  if (!lines.length) continue;
  const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const cursor = chart.appendChild(svg("line"));
  cursor.setAttribute("class", "cursor");
  const tip = document.createElement("output");
  tip.className = "tip";
  tip.hidden = true;
  chart.parentElement.classList.add("read");
  chart.parentElement.append(tip);
  const leave = () => {
    tip.hidden = true;
    cursor.removeAttribute("x1");
    cursor.style.visibility = "hidden";
  };
  leave();
  chart.addEventListener("pointerleave", leave);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const width = chart.viewBox.baseVal.width;
    const place = ((event.clientX - box.left) / box.width) * width;
    if (place < x.begin - 4 || place > x.end + 4) return leave();
    const near = lines.map((one) => [one.name, one.at.reduce((a, b) => (Math.abs(b[0] - place) < Math.abs(a[0] - place) ? b : a))]);
    const nearest = near.reduce((a, b) => (Math.abs(b[1][0] - place) < Math.abs(a[1][0] - place) ? b : a))[1][0];
    cursor.setAttribute("x1", nearest);
    cursor.setAttribute("x2", nearest);
    cursor.setAttribute("y1", y.end);
    cursor.setAttribute("y2", y.begin);
    cursor.style.visibility = "visible";
    const shown = near.filter(([, at]) => Math.abs(at[0] - nearest) < width / 40);
    tip.textContent = [`${chart.dataset.x} ${said(x.value(nearest), true)}`, ...shown.map(([name, at]) => `${said(y.value(at[1]))} ${name}`)].join("\n");
    tip.hidden = false;
    const left = (nearest / width) * box.width + 12;
    tip.style.left = `${Math.max(0, left + tip.offsetWidth > box.width ? left - 24 - tip.offsetWidth : left)}px`;
  });
}

keepOpen();

// While a run goes on the page reads itself anew: what a reader opened stays open.
function keepOpen() {
  const all = [...document.querySelectorAll("details[data-key], input.logs")];
  const known = (one) => one.dataset.key || one.id;
  const place = `open in ${location.pathname}`;
  try {
    const open = new Set(JSON.parse(sessionStorage.getItem(place)));
    for (const one of all) if (open.has(known(one))) one[one.matches("details") ? "open" : "checked"] = true;
    addEventListener("pagehide", () => {
      sessionStorage.setItem(place, JSON.stringify(all.filter((one) => one.open || one.checked).map(known)));
    });
  } catch {
    // a browser without storage, or with something else in it: the page is as it was written
  }
}

function scales(text) {
  const all = text.split(",").map(Number);
  return [all.slice(0, 5), all.slice(5)].map(([low, high, begin, end, log]) => ({
    begin,
    end,
    value: (place) => {
      const share = (place - begin) / (end - begin);
      return log ? low * (high / low) ** share : low + (high - low) * share;
    },
  }));
}

function said(value, whole) {
  if (whole && Math.abs(value) >= 20) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
}
