// Builds elements from plain values. Text always becomes a text node, so no id or title is ever parsed as HTML.

import { keepToken } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const count = (number) => whole.format(Math.round(number));
export const short = (number) => (number < 10000 ? count(number) : compact.format(number));
export const decimal = (number, digits = 1) => number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const percent = (share, digits = 0) => `${decimal(100 * share, digits)}\u2009%`;
export const plural = (number, one, many) => `${count(number)} ${Math.round(number) === 1 ? one : many}`;

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) { number /= 1000; unit += 1; }
  return `${number >= 100 || unit === 0 ? count(number) : decimal(number)}\u2009${units[unit]}`;
}

const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const minute = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: "UTC" });
export const date = (text) => (text ? day.format(new Date(text)) : "never");
export const moment = (text) => (text ? `${day.format(new Date(text))}, ${minute.format(new Date(text))}` : "none yet");

export const itemLink = (id) => `#/items/${encodeURIComponent(id)}`;
export const pairLink = (id, other) => `#/items/${encodeURIComponent(id)}/related/${encodeURIComponent(other)}`;
export const customerLink = (id) => `#/customers/${encodeURIComponent(id)}`;

// An item's name: its title, if it has one, and its id.
export function named(entry, link = true) {
  const title = entry.title ?? entry.item_id;
  const name = link ? h("a", { href: itemLink(entry.item_id), class: "name" }, title) : h("span", { class: "name" }, title);
  return h("span", { class: "named" }, name, entry.title ? h("span", { class: "id" }, entry.item_id) : null);
}

// A bar chart with one bar per value.
export function bars(values, label) {
  const most = Math.max(1, ...values);
  const width = 100 / Math.max(values.length, 1);
  return svg("svg", { class: "bars", viewBox: "0 0 100 28", preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.map((value, at) => svg("rect", {
      x: at * width + width * 0.12, width: width * 0.76, y: 28 - Math.max(0.6, 27 * value / most), height: Math.max(0.6, 27 * value / most), rx: 0.4,
    })));
}

// In place of a view that is on its way.
export function loading() {
  const lines = [62, 88, 74, 91, 68, 80].map((width) => h("span", { class: "bone", "--width": `${width}%` }));
  return h("div", { class: "card loading", role: "status" }, h("p", { class: "hint" }, "Loading\u2026"), lines);
}

// In place of a view that waits for the worker.
export function notYet(missing) {
  return h("div", { class: "card empty", role: "status" }, h("h1", {}, "Not ready yet"), h("p", {}, missing), h("p", { class: "hint" }, "The page goes on by itself."));
}

// In place of what cannot be shown; `again` tries it again.
export function problem(error, again) {
  if (error.status === 401) return askForToken();
  if (error.status === 404) {
    return h("div", { class: "card empty", role: "alert" }, h("h1", {}, "Not found"), h("p", {}, error.message),
      h("p", {}, "Search for it above, or look through ", h("a", { href: "#/catalogue", class: "link" }, "the catalogue"), "."));
  }
  return h("div", { class: "card empty", role: "alert" }, h("h1", {}, "This could not be loaded"), h("p", {}, error.message),
    again ? h("p", {}, h("button", { type: "button", class: "small", onclick: again }, "Try again")) : null);
}

// Buttons of which one is pressed; `choose` is called with the number of another one.
export function choice(label, names, chosen, choose) {
  const buttons = names.map((name, at) => h("button", { type: "button", "aria-pressed": String(at === chosen), onclick: () => press(at) }, name));
  const press = (which) => {
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === which)));
    choose(which);
  };
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

// Asks for the token of readers, and loads the page again with it.
function askForToken() {
  const input = h("input", { type: "password", id: "token", autocomplete: "off", "aria-label": "token" });
  const keep = () => { if (input.value) keepToken(input.value.trim()); };
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") keep(); });
  return h("div", { class: "card empty" }, h("h1", {}, "A token is needed"), h("p", {}, "This worker was started with --read-token."),
    h("p", {}, input, " ", h("button", { type: "button", class: "small", onclick: keep }, "Show")));
}
