"use strict";
// The wire: every message both ways, newest first. Whatever a message says is shown as text, never as markup.

const el = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(properties.data || {})) made.dataset[key] = value;
  made.append(...children);
  return made;
};

// The same words set anew would be laid out and painted anew.
const put = (element, words) => {
  if (element.textContent !== words) element.textContent = words;
};

const GROUPS = {
  all: "Everything", event: "Events", directive: "Directives", skill: "Skill events", sns: "SNS", oauth: "Account linking", lwa: "Login with Amazon",
  device: "Device", properties: "Smart Properties", wrong: "Violations",
};

const wire = { entries: [], shown: "all", made: new Map() };

function addToWire(entries, first) {
  wire.entries = wire.entries.filter((entry) => entry.number >= first).concat(entries);
  for (const number of wire.made.keys()) {
    if (number < first) wire.made.delete(number);
  }
  drawWire();
}

function wireHas(entry) {
  if (wire.shown === "all") return true;
  return wire.shown === "wrong" ? entry.violations.length > 0 : entry.group === wire.shown;
}

function drawWire() {
  drawFilters();
  const list = document.getElementById("entries");
  const rows = wire.entries.filter(wireHas).reverse().map(entryRow);
  if (!rows.length) rows.push(el("li", { className: "empty", textContent: "Nothing has been said yet." }));
  const kept = new Set(rows);
  for (const old of [...list.children]) if (!kept.has(old)) old.remove();
  rows.forEach((row, place) => { if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null); });
}

function drawFilters() {
  const box = document.getElementById("filters");
  if (!box.children.length) {
    for (const group of Object.keys(GROUPS)) {
      const button = el("button", { type: "button", data: { group } });
      button.addEventListener("click", () => { wire.shown = group; drawWire(); });
      box.append(button);
    }
  }
  for (const button of box.children) {
    const group = button.dataset.group;
    const count = wire.entries.filter((entry) => (group === "wrong" ? entry.violations.length : group === "all" || entry.group === group)).length;
    put(button, `${GROUPS[group]} ${count}`);
    button.setAttribute("aria-pressed", String(wire.shown === group));
  }
}

function entryRow(entry) {
  if (!wire.made.has(entry.number)) wire.made.set(entry.number, el("li", {}, entryDetails(entry)));
  return wire.made.get(entry.number);
}

function entryDetails(entry) {
  const details = el("details", { className: "entry", data: { wrong: String(entry.violations.length > 0) } });
  details.append(summaryOf(entry));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(bodies(entry));
  });
  return details;
}

function summaryOf(entry) {
  const inward = entry.direction === "in";
  const way = el("span", { className: "way", textContent: inward ? "←" : "→", data: { way: entry.direction } });
  way.setAttribute("role", "img");
  way.setAttribute("aria-label", inward ? "to Amazon" : "from Amazon");
  const what = el("span", { className: "what" }, el("strong", { textContent: entry.kind }), el("span", { textContent: wordsOf(entry) }));
  const when = el("span", { className: "when" }, clock(entry.at));
  if (entry.status) when.prepend(el("span", { className: "pill", textContent: entry.status, data: { kind: statusKind(entry.status) } }));
  const summary = el("summary", {}, way, what, when);
  if (entry.violations.length) summary.append(el("ul", { className: "wrong" }, ...entry.violations.map((words) => el("li", { textContent: words }))));
  return summary;
}

function wordsOf(entry) {
  const took = entry.ms === null ? "" : `${entry.ms} ms`;
  const words = entry.violations.length && entry.violations[0] === entry.words ? "" : entry.words;
  return [gist(entry), words, took].filter(Boolean).join(" · ");
}

// The one thing that a person looks for in a message: which levels it tells, or that the answer is no, or not yet.
function gist(entry) {
  const body = (entry.group === "directive" ? entry.answer : entry.request) || {};
  const name = body.event?.header?.name;
  if (name === "DeferredResponse") return "deferred: the answer follows";
  if (name === "ErrorResponse" && entry.group === "directive") return String(body.event.payload?.type);
  const change = body.event?.payload?.change?.properties || body.context?.properties || [];
  if (!Array.isArray(change)) return "";
  return change.map((property) => {
    const value = property?.value?.value ?? property?.value;
    const sign = property?.value?.["@type"] === "Percentage" ? " %" : "";
    return typeof value === "object" ? "" : `${property.instance || property.name} ${value}${sign}`;
  }).filter(Boolean).join(", ");
}

function statusKind(status) {
  return status < 300 ? "good" : status === 429 || status >= 500 ? "warn" : "bad";
}

function clock(at) {
  const time = el("time", { dateTime: at, title: at });
  time.textContent = new Date(at).toLocaleTimeString([], { hour12: false });
  return time;
}

function bodies(entry) {
  const box = el("div", { className: "bodies" });
  for (const [title, body] of [["Request", entry.request], ["Answer", entry.answer]]) {
    if (body !== null && body !== undefined) box.append(el("div", {}, el("h4", { textContent: title }), pretty(body)));
  }
  if (!box.children.length) box.append(el("p", { className: "soft", textContent: "No body." }));
  return box;
}

function pretty(body) {
  const box = el("pre", { tabIndex: 0 });
  const text = typeof body === "string" ? body : JSON.stringify(body, null, 2);
  let end = 0;
  for (const found of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/g)) {
    box.append(text.slice(end, found.index));
    const kind = found[2] !== undefined ? "k" : found[1] !== undefined ? "s" : "n";
    box.append(el("span", { className: kind, textContent: found[1] ?? found[0] }), found[2] ?? "");
    end = found.index + found[0].length;
  }
  box.append(text.slice(end));
  return box;
}
