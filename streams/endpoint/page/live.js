// Live changes: one stream of server-sent events, including changes to the list on screen.

import { request } from "./api.js";
import { bytes, count, decimal, h, moment, short, svg } from "./elements.js";

const rates = new Array(60).fill(0); // the last minute, one per second
const listeners = { orders: new Set(), related: new Set(), status: new Set() };
const AGAIN_MS = 2000;
let source = null;
let watched;

export function watch(itemId) {
  if (source && watched === itemId) return;
  watched = itemId;
  source?.abort();
  source = new AbortController();
  follow(itemId, source.signal);
}

// Reads the stream, again when it ends. An EventSource could not send the token of readers.
async function follow(itemId, signal) {
  while (!signal.aborted) {
    try {
      const response = await request(["events"], { item_id: itemId }, { signal });
      if (response.ok) await read(response.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch { /* the connection broke */ }
    if (signal.aborted) return;
    standing("reconnecting");
    await new Promise((resume) => setTimeout(resume, AGAIN_MS));
  }
}

async function read(reader) {
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) tell(event);
  }
}

function tell(event) {
  const [, kind, data] = event.match(/^event: (\w+)\ndata: (.*)$/s) ?? [];
  if (kind === "status") show(JSON.parse(data));
  listeners[kind]?.forEach((listener) => listener(JSON.parse(data)));
}

// Does the work now and then while the page is seen, never twice at once, until the returned function is called.
export function repeat(work, everyMs) {
  let timer;
  let stopped = false;
  const turn = async () => {
    if (!document.hidden) await work().catch(() => {}); // the next turn is soon
    if (!stopped) timer = setTimeout(turn, everyMs);
  };
  timer = setTimeout(turn, everyMs);
  return () => { stopped = true; clearTimeout(timer); };
}

// Calls `listener` with each event of a kind until the returned function is called.
export function on(kind, listener) {
  listeners[kind].add(listener);
  return () => listeners[kind].delete(listener);
}

window.addEventListener("pagehide", () => source?.abort());
window.addEventListener("pageshow", (event) => { if (event.persisted) { const itemId = watched; source = null; watch(itemId); } });

const strip = document.getElementById("strip");
const dot = h("span", { class: "dot" });
const word = h("span", {}, "connecting");
const line = svg("path", { class: "line" });
const area = svg("path", { class: "area" });
const figures = {};

function figure(name, label, extra) {
  figures[name] = h("b", {}, "\u2013");
  return h("div", { class: "figure" }, h("span", { class: "label" }, label), h("span", { class: "value" }, figures[name], extra));
}

strip.append(
  h("div", { class: "figure state" }, h("span", { class: "label" }, "state"), h("span", { class: "value" }, dot, word)),
  figure("rate", "lines / s", svg("svg", { class: "spark", viewBox: "0 0 60 18", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line)),
  figure("lag", "waiting"),
  figure("age", "freshness"),
  figure("lines", "lines"),
  figure("customers", "customers"),
  figure("state", "disk / memory"),
  figure("partitions", "partitions"),
);

const LAMPS = { live: "on", following: "on", stopped: "off" }; // gold for all others

function standing(text) {
  dot.className = `dot ${LAMPS[text] ?? ""}`;
  word.textContent = text;
}

function show(status) {
  standing(status.state);
  rates.push(status.lines_per_second);
  rates.shift();
  figures.rate.textContent = short(status.lines_per_second);
  figures.lag.textContent = count(status.lag);
  figures.age.textContent = status.refresh_age_ms ? (status.refresh_age_ms < 1000 ? `${count(status.refresh_age_ms)}\u2009ms` : `${decimal(status.refresh_age_ms / 1000)}\u2009s`) : "exact";
  figures.lines.textContent = short(status.lines);
  figures.customers.textContent = short(status.customers);
  figures.partitions.textContent = count(status.partitions);
  const parts = Object.entries(status.memory);
  figures.state.textContent = `${bytes(status.state_bytes)} / ${bytes(parts.reduce((sum, [, part]) => sum + part.used, 0))}`;
  figures.state.title = parts.map(([part, { used, budget }]) => `${part.replace("_", " ")}: ${bytes(used)} of ${bytes(budget)}`).join("\n");
  document.getElementById("stamp").textContent = `newest purchase: ${moment(status.newest)} UTC`;
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, at) => `${at * 60 / 59},${(17 - 15 * rate / most).toFixed(1)}`);
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M0,18L${points.join("L")}L60,18Z`);
}
