// The catalogue: every item that may be shown, the most bought first, by category.

import { ask } from "./api.js";
import { download } from "./csv.js";
import { count, h, named, plural, problem } from "./elements.js";

const PAGE = 50;
const MOST_CATEGORIES = 1000;
const COLUMNS = ["item_id", "title", "category", "brand", "price", "in_stock", "purchases"];

export async function catalogue(view, category) {
  const list = h("ol", { class: "rows" });
  const total = h("p", { class: "hint", role: "status" });
  const more = h("button", { type: "button", class: "small", onclick: () => page(shown.length) }, "Show more");
  const select = h("select", { id: "category", onchange: () => restart() });
  const soldOut = h("input", { type: "checkbox", id: "sold-out", onchange: () => restart() });
  let shown = [];
  let turn = 0;
  const [known, first] = await Promise.all([ask(["categories"], { limit: MOST_CATEGORIES }), load(category, false, 0)]);
  const names = known.categories.map((entry) => entry.category);
  if (category && !names.includes(category)) known.categories.unshift({ category, item_count: 0 });
  select.append(h("option", { value: "" }, "All categories"), ...known.categories.map((entry) => h("option", { value: entry.category, selected: entry.category === category }, `${entry.category} (${count(entry.item_count)})`)));
  view.replaceChildren(h("section", { class: "card" },
    h("div", { class: "head" }, h("h1", {}, "Catalogue"),
      h("div", { class: "tools" },
        known.categories.length ? [h("label", { class: "sr", for: "category" }, "Category"), select] : null,
        h("label", { class: "check" }, soldOut, " sold out, too"),
        download(category ? `catalogue ${category}` : "catalogue", COLUMNS, () => shown))),
    total,
    known.matching > names.length ? h("p", { class: "hint" }, `The ${count(names.length)} largest of ${count(known.matching)} categories can be chosen.`) : null,
    list, more));
  show(first);
  return { title: category ?? "Catalogue" };

  function load(name, whole, offset) {
    return ask(["catalogue"], { category: name, in_stock: whole ? "false" : undefined, fields: "title,brand,price", limit: PAGE, offset: offset || undefined });
  }

  function restart() {
    const name = select.value;
    history.replaceState(null, "", name ? `#/catalogue/${encodeURIComponent(name)}` : "#/catalogue"); // no new view: the reader stays at the choice
    document.title = `${name || "Catalogue"} \u00b7 alsobought`;
    shown = [];
    page(0);
  }

  async function page(offset) {
    const number = ++turn;
    list.setAttribute("aria-busy", "true");
    try {
      const answer = await load(select.value || undefined, soldOut.checked, offset);
      if (number === turn) show(answer, offset);
    } catch (error) {
      list.replaceChildren(h("li", {}, problem(error, () => restart())));
    } finally {
      list.removeAttribute("aria-busy");
    }
  }

  function show(answer, offset = 0) {
    shown = [...shown.slice(0, offset), ...answer.items];
    const most = Math.max(1, shown[0]?.purchases ?? 1);
    const rows = answer.items.map((entry, at) => row(entry, offset + at, most));
    if (offset) list.append(...rows);
    else list.replaceChildren(...rows);
    if (offset) rows[0]?.querySelector("a").focus();
    total.textContent = `${plural(answer.matching, "item", "items")}, the most bought first; ${count(shown.length)} shown`;
    more.hidden = answer.next_offset === undefined;
    if (!shown.length) {
      list.append(h("li", { class: "quiet" }, answer.category
        ? "No item of this category may be shown."
        : "There are no items yet: they come with the first order, or with a catalogue (alsobought catalogue FILE)."));
    } else if (more.hidden && shown.length < answer.matching) {
      total.textContent += ". Those beyond are found by search or category.";
    }
  }
}

function row(entry, at, most) {
  const facts = [entry.brand, entry.price, entry.in_stock ? null : "sold out"].filter(Boolean).join(" \u00b7 ");
  return h("li", { class: "row seller listed" },
    h("span", { class: "rank" }, count(at + 1)), named(entry),
    h("span", { class: "kind" }, entry.category ? h("a", { href: `#/catalogue/${encodeURIComponent(entry.category)}` }, entry.category) : null, facts ? h("small", {}, facts) : null),
    h("span", { class: "meter" }, h("span", { class: "track", "--surplus": `${100 * entry.purchases / most}%` }, h("i", { class: "surplus" }))),
    h("span", { class: "figures" }, h("b", { title: "purchases" }, count(entry.purchases))));
}
