"use strict";
// The three columns and the knobs. The server is the truth: every change is fetched whole, only the wire is fetched by what is new.

const byId = (id) => document.getElementById(id);
const HOUSEHOLD = "household";
let lastNumber = 0;
let lastRevision = 0;
let seenNotice = null;
let state = null;

async function act(name, body = {}) {
  try {
    const answer = await fetch(`/actions/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!told.ok) say("bad", told.error);
    else if (told.words) say("good", told.words);
    await look();
    return told;
  } catch (error) {
    say("bad", `The sandbox does not answer (${error.message}).`);
    return { ok: false };
  }
}

function say(kind, words) {
  const box = byId("notice");
  box.dataset.kind = kind;
  box.textContent = words; // anew even when they are the same: who listens hears them again
  box.hidden = false;
}

let looking = null;
let again = false;
function look() {
  if (looking) { again = true; return looking; }
  looking = fetchState().finally(() => {
    looking = null;
    if (again) { again = false; look(); }
  });
  return looking;
}

async function fetchState() {
  try {
    const answer = await fetch(`/state.json?after=${lastNumber}`);
    state = await answer.json();
    if (state.revision < lastRevision) startAnew();
    else draw();
    live("live", "live");
  } catch {
    live("lost", "connection lost");
  }
}

// The sandbox was restarted, perhaps with another memory.
function startAnew() {
  lastRevision = lastNumber = 0;
  wire.entries = [];
  wire.made.clear();
  again = true;
}

function live(mark, words) {
  const box = byId("live");
  if (box.dataset.state === mark) return;
  box.dataset.state = mark;
  box.textContent = words;
}

function draw() {
  byId("portal").href = state.portal_url + "/";
  byId("portal-orders").href = state.portal_url + "/orders/";
  drawNotice();
  drawSteps();
  drawApp();
  drawDevice();
  drawAmazon();
  drawKnobs();
  lastRevision = state.revision;
  if (state.wire.length) lastNumber = state.wire[state.wire.length - 1].number;
  addToWire(state.wire, state.wire_first);
}

function drawNotice() {
  const fresh = state.notice && Date.now() - new Date(state.notice.at) < 60000;
  if (!fresh || state.notice.at === seenNotice) return;
  seenNotice = state.notice.at;
  say(state.notice.kind, state.notice.words);
}

function drawSteps() {
  const low = state.dash.some((run) => run.low_run >= 3 || run.order);
  byId("step-link").dataset.done = String(linkOf()?.status === "linked");
  byId("step-brew").dataset.done = String(low || state.orders.length > 0);
  byId("step-order").dataset.done = String(state.outbox.some((entry) => entry.status === "delivered"));
}

function linkOf() {
  return state.links[HOUSEHOLD];
}

const LINK_WORDS = {
  linked: ["good", "linked"], linking: ["warn", "linking…"], failed: ["bad", "failed"], broken: ["bad", "link again"], disabled: ["warn", "disabled"],
};

function drawApp() {
  const link = linkOf();
  const [kind, words] = LINK_WORDS[link?.status] || ["quiet", "not linked"];
  pill("link-state", kind, words);
  put(byId("link"), link ? "Link again" : "Link account");
  byId("link").classList.toggle("main", link?.status !== "linked");
  put(byId("link-words"), link?.words || (link ? `Linked ${ago(link.linked_at)}, region ${link.region}.` : "Alexa does not know this household yet."));
  for (const button of document.querySelectorAll("[data-linked]")) button.disabled = link?.status !== "linked";
  rows("endpoints", (link?.endpoints || []).map(endpointRow), link ? "No devices found." : "Link the account first.");
}

function endpointRow({ endpoint, missing, powerState, connectivity, rang_at: rangAt }) {
  const has = (name) => endpoint.capabilities.some((member) => member.interface === name);
  const sensors = endpoint.capabilities.filter((member) => member.instance).map((member) => member.capabilityResources?.friendlyNames?.[0]?.value?.text || member.instance);
  const head = el("div", { className: "row-head" }, el("strong", { textContent: endpoint.friendlyName }));
  if (missing) head.append(el("span", { className: "pill", textContent: "not found again", data: { kind: "warn" } }));
  const told = el("small", { textContent: sensors.length ? `Supply: ${sensors.join(", ")}` : "No supply sensor" });
  if (powerState) head.append(el("span", { className: "pill", textContent: powerState === "ON" ? "on" : "off", data: { kind: powerState === "ON" ? "good" : "quiet" } }));
  if (connectivity === "UNREACHABLE") head.append(el("span", { className: "pill", textContent: "unreachable", data: { kind: "warn" } }));
  const buttons = el("div", { className: "buttons" }, actionButton("Ask for its state", "ask", { endpoint: endpoint.endpointId }));
  if (has("Alexa.PowerController")) {
    const on = powerState !== "ON";
    buttons.append(actionButton(on ? "Turn on" : "Turn off", "turn", { endpoint: endpoint.endpointId, on }));
  }
  if (rangAt) told.append(` · Announced: somebody rang ${ago(rangAt)}`);
  return el("li", {}, head, told, buttons);
}

function actionButton(words, name, body) {
  const button = el("button", { type: "button", className: "button small", textContent: words });
  button.addEventListener("click", () => busy(button, () => act(name, body)));
  return button;
}

function drawDevice() {
  const { reachable, level, offline, words, sequence, on } = state.device;
  const known = typeof level === "number";
  pill("device-state", !reachable ? "bad" : offline ? "warn" : "good", !reachable ? "not running" : offline ? "offline" : "online");
  put(byId("level"), known ? String(Math.round(level * 10) / 10) : "–");
  byId("beans").style.setProperty("--level", `${known ? level : 0}%`);
  byId("mark").style.setProperty("--mark", `${state.knobs.threshold}%`);
  byId("hopper").dataset.away = String(!reachable || Boolean(offline));
  const meter = byId("meter");
  meter.low = state.knobs.threshold + 0.01;
  meter.high = 50;
  meter.optimum = 100;
  meter.value = known ? level : 0;
  byId("device-empty").hidden = level !== 0;
  put(byId("device-words"), reachable ? deviceWords(sequence) : words || "");
  byId("offline").setAttribute("aria-pressed", String(Boolean(offline)));
  put(byId("offline"), offline ? "Go online" : "Go offline");
  put(byId("power"), on ? "Switch off" : "Switch on");
  pill("power-state", on ? "good" : "quiet", on ? "on" : "off");
}

function deviceWords(sequence) {
  const answer = state.device.last_answer;
  const told = typeof answer === "string" ? answer : answer?.status || answer?.title || "";
  return `${state.device.serial || ""} · reading ${sequence ?? "–"}${told ? ` · ${told}` : ""}`;
}

function drawAmazon() {
  const low = state.dash.filter((run) => run.low);
  pill("rule-state", low.length ? "warn" : state.dash.length ? "good" : "quiet", low.length ? "running low" : state.dash.length ? "well stocked" : "no events");
  rows("levels", state.dash.map(levelRow), "No level has been accepted yet.");
  rows("orders", [...state.orders].reverse().map(orderRow), "No orders yet. Three low levels in a row place one.");
}

function levelRow(run) {
  const unit = run.measurement === "Percentage" ? " %" : ` ${(run.unit || "").toLowerCase()}`;
  const bar = el("div", { className: "bar", data: { low: String(run.low) } }, el("i"));
  bar.firstChild.style.setProperty("--level", `${run.measurement === "Percentage" ? run.level : (100 * run.level) / (run.highest || 1)}%`);
  const dots = el("span", { className: "run" }, ...[1, 2, 3].map((place) => el("i", { data: { on: String(run.low_run >= place) } })));
  const words = run.order ? "ordered for this low spell" : `${Math.min(run.low_run, 3)} of 3 low updates in a row`;
  return el("li", {},
    el("div", { className: "row-head" }, el("strong", { textContent: run.instance }), el("strong", { textContent: `${run.level}${unit}` })),
    bar, el("small", {}, dots, `${words} · ${ago(run.heard_at)}`));
}

const ORDER_KINDS = { placed: "open", shipped: "good", cancelled: "bad" };

function orderRow(order) {
  const told = state.outbox.filter((entry) => entry.order === order.id);
  const head = el("div", { className: "row-head" }, el("strong", { textContent: `Order ${order.number}` }),
    el("span", { className: "pill", textContent: order.state, data: { kind: ORDER_KINDS[order.state] } }));
  const what = el("small", { textContent: `${order.quantity} × ${order.asin} for ${order.name} · ${ago(order.placed_at)}` });
  const row = el("li", {}, head, what, ...told.map(deliveryWords));
  const buttons = order.state === "placed"
    ? [actionButton("Ship", "ship", { order: order.id }), actionButton("Cancel", "cancel", { order: order.id })] : [];
  row.append(el("div", { className: "buttons" }, ...buttons, actionButton("Tell again", "resend", { order: order.id })));
  return row;
}

function deliveryWords(entry) {
  const kind = { delivered: "good", refused: "bad", "given up": "bad" }[entry.status] || "warn";
  return el("small", {}, el("span", { className: "pill", textContent: entry.status, data: { kind } }),
    ` ${entry.kind.replace("Notification", "")}${entry.words ? `: ${entry.words}` : ""}`);
}

function drawKnobs() {
  for (const input of document.querySelectorAll("[data-knob]")) {
    if (input === document.activeElement && input.type === "number") continue;
    const value = state.knobs[input.dataset.knob];
    if (input.type === "checkbox") input.checked = value;
    else input.value = value;
  }
  const bad = ["throttle_every", "fail_every", "slow_ms", "hang", "skill_disabled", "lwa_down", "rotate_refresh", "sns_duplicate", "sns_out_of_order", "sns_forged"]
    .filter((knob) => state.knobs[knob]).length;
  pill("weather-state", bad ? "warn" : "quiet", bad ? `${bad} on` : "clear");
}

function pill(id, kind, words) {
  byId(id).dataset.kind = kind;
  put(byId(id), words);
}

// Rows are replaced only when they differ, so that focus and a half-pressed button survive a change elsewhere.
function rows(id, made, empty) {
  const list = byId(id);
  const wanted = made.length ? made : [el("li", { className: "empty", textContent: empty })];
  wanted.forEach((row, place) => {
    const old = list.children[place];
    if (!old) list.append(row);
    else if (!old.isEqualNode(row)) old.replaceWith(row);
  });
  while (list.children.length > wanted.length) list.lastChild.remove();
}

function ago(at) {
  const seconds = Math.max(0, (Date.now() - new Date(at)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

async function busy(button, work) {
  button.setAttribute("aria-busy", "true");
  try { return await work(); } finally { button.removeAttribute("aria-busy"); }
}

function wireButtons() {
  for (const button of document.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => busy(button, () => act(button.dataset.action, JSON.parse(button.dataset.body || "{}"))));
  }
  byId("offline").addEventListener("click", () => busy(byId("offline"), () => act("offline", { offline: !state.device.offline })));
  byId("power").addEventListener("click", () => busy(byId("power"), () => act("power", { on: !state.device.on })));
  byId("link").addEventListener("click", () => busy(byId("link"), async () => {
    const told = await act("link");
    if (told.ok) location.assign(told.url);
  }));
  for (const input of document.querySelectorAll("[data-knob]")) input.addEventListener("change", () => turn(input));
}

function turn(input) {
  const value = input.type === "checkbox" ? input.checked : input.type === "number" ? Number(input.value) : input.value;
  act("weather", { [input.dataset.knob]: value });
}

function listen() {
  const source = new EventSource("/changes");
  source.addEventListener("message", (told) => { if (Number(told.data) !== lastRevision || byId("live").dataset.state !== "live") look(); });
  source.addEventListener("error", () => live("lost", "connection lost"));
}

wireButtons();
look();
listen();
setInterval(look, 30000); // "2 min ago" grows old, and a stream can be lost without a word
