// The search box: finds items by title or id, and the customer with exactly that id, while you type.

import { askOnce } from "./api.js";
import { count, customerLink, h, itemLink } from "./elements.js";

const input = document.getElementById("search");
const list = document.getElementById("found");
const results = document.getElementById("results");
const remark = document.getElementById("remark");
let latest = 0;
let timer;

const options = () => [...list.querySelectorAll("[role=option]")];
const chosen = () => list.querySelector("[aria-selected=true]");

function open(yes) {
  results.hidden = !yes;
  input.setAttribute("aria-expanded", String(yes));
}

function choose(option) {
  chosen()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

function option(href, at, ...content) {
  return h("li", { role: "option", id: `found-${at}`, "aria-selected": "false" }, h("a", { href, tabindex: "-1", onclick: leave }, ...content));
}

function leave() {
  open(false);
  input.value = "";
  input.blur();
}

async function find() {
  const text = input.value.trim();
  const number = ++latest;
  if (!text) return open(false);
  let found;
  try {
    found = await askOnce(["search"], { q: text.slice(0, 150), limit: 12 });
  } catch (error) {
    found = { items: [], customers: [], reason: error.message };
  }
  if (number !== latest) return;
  const customers = found.customers.map((id, at) => option(customerLink(id), `c${at}`,
    h("span", { class: "named" }, h("span", { class: "name" }, `Customer ${id}`), h("span", { class: "id" }, "history and recommendations"))));
  const items = found.items.map((item, at) => option(itemLink(item.item_id), at,
    h("span", { class: "named" }, h("span", { class: "name" }, item.title ?? item.item_id), h("span", { class: "id" }, [item.title && item.item_id, item.category, !item.available && "unavailable"].filter(Boolean).join(" \u00b7 "))),
    h("span", { class: "much" }, `${count(item.purchases)}\u2009\u00d7`)));
  const exact = found.items[0]?.item_id === text;
  list.replaceChildren(...(exact ? [...items.slice(0, 1), ...customers, ...items.slice(1)] : [...customers, ...items]));
  list.hidden = !list.children.length;
  remark.textContent = [
    list.hidden && (found.reason ?? "No item has this in its title or id, and no customer has this id."),
    found.complete === false && "Not every item was looked at: type more of the word.",
  ].filter(Boolean).join(" ");
  choose(options()[0]);
  open(true);
}

input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 110); });
input.addEventListener("focus", () => { if (input.value.trim()) find(); });
input.addEventListener("blur", () => setTimeout(() => open(false), 150));
input.addEventListener("keydown", async (event) => {
  const all = options();
  const at = all.indexOf(chosen());
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(all[(at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    clearTimeout(timer);
    await find();
    chosen()?.querySelector("a").click();
  } else if (event.key === "Escape") leave();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && document.activeElement !== input) {
    event.preventDefault();
    input.focus();
  }
});
