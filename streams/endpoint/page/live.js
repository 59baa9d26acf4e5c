// Live changes: one stream of server-sent events, including changes to the list on screen.

import { bytes, count, decimal, h, moment, short, svg } from "./elements.js";

const rates = new Array(60).fill(0); // the last minute, one per second
const listeners = { orders: new Set(), related: new Set() };
let source = null;
let watched;

export function watch(itemId) {
  if (source && watched === itemId) return;
  watched = itemId;
  source?.close();
  source = new EventSource(itemId === undefined ? "/events" : `/events?${new URLSearchParams({ item_id: itemId })}`);
  source.addEventListener("open", () => connected(true));
  source.addEventListener("error", () => connected(false));
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  for (const kind of Object.keys(listeners)) {
    source.addEventListener(kind, (event) => listeners[kind].forEach((listener) => listener(JSON.parse(event.data))));
  }
}

// Calls `listener` with each event of a kind until the returned function is called.
export function on(kind, listener) {
  listeners[kind].add(listener);
  return () => listeners[kind].delete(listener);
}

window.addEventListener("pagehide", () => source?.close());
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
  h("div", { class: "figure state" }, h("span", { class: "label" }, "worker"), h("span", { class: "value" }, dot, word)),
  figure("rate", "lines / s", svg("svg", { class: "spark", viewBox: "0 0 60 18", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line)),
  figure("lag", "waiting"),
  figure("age", "freshness"),
  figure("lines", "lines"),
  figure("customers", "customers"),
  figure("state", "state"),
  figure("partitions", "partitions"),
);

function connected(yes) {
  dot.classList.toggle("on", yes);
  word.textContent = yes ? "live" : "reconnecting";
}

function show(status) {
  connected(true);
  rates.push(status.lines_per_second);
  rates.shift();
  figures.rate.textContent = short(status.lines_per_second);
  figures.lag.textContent = count(status.lag);
  figures.age.textContent = status.refresh_age_ms ? (status.refresh_age_ms < 1000 ? `${count(status.refresh_age_ms)}\u2009ms` : `${decimal(status.refresh_age_ms / 1000)}\u2009s`) : "exact";
  figures.lines.textContent = short(status.lines);
  figures.customers.textContent = short(status.customers);
  figures.partitions.textContent = count(status.partitions);
  figures.state.textContent = bytes(status.state_bytes);
  document.getElementById("stamp").textContent = `newest purchase: ${moment(status.newest)} UTC`;
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, at) => `${at * 60 / 59},${(17 - 15 * rate / most).toFixed(1)}`);
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M0,18L${points.join("L")}L60,18Z`);
}
