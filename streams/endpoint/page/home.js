// The start page: bestsellers as they move, live purchases, and hit rates.

import { ask } from "./api.js";
import { download } from "./csv.js";
import { choice, count, date, h, itemLink, named, percent, problem } from "./elements.js";
import { on, repeat } from "./live.js";
import { replaceRows } from "./motion.js";
import { quality } from "./quality.js";

const SPANS = [1, 7, 14, 30, 60];
const COLUMNS = ["rank", "item_id", "title", "category", "purchases", "popularity"];
const AGAIN_MS = 3000;

export async function home(view) {
  const table = h("ol", { class: "rows" });
  const span = h("p", { class: "hint" });
  const feed = h("ol", { class: "feed" }, h("li", { class: "quiet" }, "Purchases appear here as they are counted."));
  const rates = h("section", { class: "card quality" });
  let days = 14;
  let shown = [];
  let changed = false;
  const choose = (at) => { days = SPANS[at]; show(); };
  view.replaceChildren(h("div", { class: "columns" },
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h1", {}, "Bestsellers"),
        h("div", { class: "tools" },
          choice("Days", SPANS.map((number) => (number === 1 ? "1 day" : `${number} days`)), SPANS.indexOf(days), choose),
          download("bestsellers", COLUMNS, () => shown.map((entry, at) => ({ rank: at + 1, ...entry }))))),
      span, table),
    h("aside", {}, rates,
      h("section", { class: "card" }, h("h2", {}, "Just bought"), feed),
      h("section", { class: "card guide" }, h("h2", {}, "How to read the bars"),
        h("div", { class: "sample" }, h("span", { class: "track", "--expected": "46%", "--surplus": "34%" }, h("i", { class: "expected" }), h("i", { class: "surplus" }))),
        h("p", {}, h("i", { class: "key expected" }), " co-purchases that chance explains, given how much these customers buy: ", h("b", {}, "E"), ". ", h("i", { class: "key surplus" }), " the rest, up to ", h("b", {}, "N"), ", the customers who bought both. This surplus makes two items related."),
        h("p", {}, "Search for an item to watch its related list change, or for a customer to see the recommendations and the reasons for them.")))));

  async function show() {
    const asked = days;
    table.setAttribute("aria-busy", "true");
    let answer;
    try {
      answer = await ask(["bestsellers"], { days: asked, limit: 25 });
    } catch (error) {
      shown = [];
      return table.replaceChildren(h("li", {}, problem(error, show)));
    } finally {
      table.removeAttribute("aria-busy");
    }
    if (asked !== days) return; // another span was chosen meanwhile
    const before = new Map(shown.map((entry, at) => [entry.item_id, at]));
    shown = answer.bestsellers;
    span.textContent = answer.as_of.timestamp ? `${asked === 1 ? "on" : `${asked} days up to`} ${date(answer.as_of.timestamp)}, the day of the newest purchase` : "";
    if (!shown.length) return table.replaceChildren(h("li", { class: "quiet" }, "Nothing has been bought yet. Bestsellers appear here as soon as an order is counted."));
    const most = Math.max(1, ...shown.map((entry) => entry.purchases));
    replaceRows(table, shown.map((entry, at) => row(entry, at, most, before.size && (before.get(entry.item_id) ?? Infinity) > at)));
  }

  async function showRates() {
    rates.replaceChildren(...(await quality()));
  }

  await Promise.all([show(), showRates().catch((error) => rates.replaceChildren(h("h2", {}, "Hit rate"), h("p", { class: "quiet" }, error.message)))]);
  const unlisten = on("orders", ({ items }) => {
    changed = true;
    feed.querySelector(".quiet")?.remove();
    feed.prepend(...items.slice(-12).reverse().map((item) => h("li", { class: "fresh" }, h("a", { href: itemLink(item.item_id) }, item.title ?? item.item_id))));
    while (feed.children.length > 14) feed.lastChild.remove();
  });
  const stop = repeat(async () => {
    if (!changed) return;
    changed = false;
    await Promise.all([show(), showRates()]);
  }, AGAIN_MS);
  return { leave: () => { unlisten(); stop(); } };
}

function row(entry, at, most, rose) {
  return h("li", { class: rose ? "row seller fresh" : "row seller", "data-item": entry.item_id },
    h("span", { class: "rank" }, at + 1), named(entry),
    h("span", { class: "meter" }, h("span", { class: "track", "--surplus": `${100 * entry.purchases / most}%` }, h("i", { class: "surplus" }))),
    h("span", { class: "figures" }, h("b", {}, count(entry.purchases)), h("small", { title: "popularity: recency-weighted share of all purchases" }, percent(entry.popularity, 2))));
}
