// The start page: bestsellers, live purchases, and hit rates.

import { ask } from "./api.js";
import { count, date, h, itemLink, named, percent, problem } from "./elements.js";
import { on } from "./live.js";
import { quality } from "./quality.js";

const SPANS = [1, 7, 14, 30, 60];

export async function home(view) {
  const table = h("ol", { class: "rows" });
  const span = h("p", { class: "hint" });
  const feed = h("ol", { class: "feed" }, h("li", { class: "quiet" }, "Purchases appear here as they are counted."));
  const choices = SPANS.map((days) => h("button", { type: "button", "aria-pressed": "false", onclick: () => show(days) }, days === 1 ? "1 day" : `${days} days`));
  view.replaceChildren(h("div", { class: "columns" },
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h1", {}, "Bestsellers"), h("div", { class: "choice", role: "group", "aria-label": "Days" }, choices)), span, table),
    h("aside", {},
      await quality().catch(() => null),
      h("section", { class: "card" }, h("h2", {}, "Just bought"), feed),
      h("section", { class: "card guide" }, h("h2", {}, "How to read the bars"),
        h("div", { class: "sample" }, h("span", { class: "track", "--expected": "46%", "--surplus": "34%" }, h("i", { class: "expected" }), h("i", { class: "surplus" }))),
        h("p", {}, h("i", { class: "key expected" }), " co-purchases that chance explains, given how much these customers buy: ", h("b", {}, "E"), ". ", h("i", { class: "key surplus" }), " the rest, up to ", h("b", {}, "N"), ", the customers who bought both. This surplus makes two items related."),
        h("p", {}, "Search for an item to watch its related list change, or for a customer to see the recommendations and the reasons for them."))),
  ));

  async function show(days) {
    choices.forEach((choice, at) => choice.setAttribute("aria-pressed", String(SPANS[at] === days)));
    let answer;
    try {
      answer = await ask(["bestsellers"], { days, limit: 25 });
    } catch (error) {
      return table.replaceChildren(problem(error));
    }
    span.textContent = answer.as_of.timestamp ? `${days === 1 ? "on" : `${days} days up to`} ${date(answer.as_of.timestamp)}, the day of the newest purchase` : "no purchases yet";
    const most = Math.max(1, ...answer.bestsellers.map((entry) => entry.purchases));
    table.replaceChildren(...answer.bestsellers.map((entry, at) => h("li", { class: "row seller" },
      h("span", { class: "rank" }, at + 1), named(entry),
      h("span", { class: "meter" }, h("span", { class: "track", "--surplus": `${100 * entry.purchases / most}%` }, h("i", { class: "surplus" }))),
      h("span", { class: "figures" }, h("b", {}, count(entry.purchases)), h("small", { title: "popularity: recency-weighted share of all purchases" }, percent(entry.popularity, 2))))));
  }

  await show(14);
  return on("orders", ({ items }) => {
    feed.querySelector(".quiet")?.remove();
    feed.prepend(...items.slice(-12).reverse().map((item) => h("li", { class: "fresh" }, h("a", { href: itemLink(item.item_id) }, item.title ?? item.item_id))));
    while (feed.children.length > 14) feed.lastChild.remove();
  });
}
