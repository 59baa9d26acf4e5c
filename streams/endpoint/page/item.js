// An item: its related list and the counts behind the scores, updated live as purchases arrive.

import { ask } from "./api.js";
import { bars, count, date, decimal, h, itemLink, named, plural } from "./elements.js";
import { on } from "./live.js";

const SHOWN = 50;

export async function item(view, id) {
  const [facts, listed] = await Promise.all([ask(["items", id]), ask(["items", id, "related"], { limit: SHOWN })]);
  const list = h("ol", { class: "rows", id: "related" });
  const feed = h("ol", { class: "feed" }, h("li", { class: "quiet" }, "Changes to this list appear here as they happen."));
  const buyers = h("b", {}, count(facts.buyers));
  const purchases = h("b", {}, count(facts.purchases));
  const exact = h("span", { class: "chip" });
  const days = facts.daily_purchases;
  view.replaceChildren(
    h("section", { class: "card hero" },
      h("div", { class: "who" },
        h("p", { class: "eyebrow" }, facts.category ?? "item"),
        h("h1", {}, facts.title ?? facts.item_id),
        h("p", { class: "id" }, facts.item_id, facts.available ? null : h("span", { class: "chip warn" }, "unavailable"),
          facts.url ? h("a", { href: facts.url, rel: "noopener noreferrer", class: "chip" }, "in the shop") : null)),
      h("dl", { class: "facts" },
        h("div", {}, h("dt", {}, "customers"), h("dd", {}, buyers)),
        h("div", {}, h("dt", {}, "purchases"), h("dd", {}, purchases))),
      h("figure", {}, bars(days.map((day) => day.purchases), `purchases per day, ${days.length} days`),
        h("figcaption", {}, h("span", {}, days.length ? date(days[0].day) : ""), h("span", {}, "purchases per day"), h("span", {}, days.length ? date(days.at(-1).day) : "")))),
    h("div", { class: "columns" },
      h("section", { class: "card" },
        h("div", { class: "head" }, h("h2", {}, "Bought together"), exact),
        h("p", { class: "legend" }, h("span", {}, h("i", { class: "key expected" }), "expected by chance, E"), h("span", {}, h("i", { class: "key surplus" }), "beyond chance, up to N"), h("span", {}, h("i", { class: "key score" }), "score")),
        list),
      h("aside", {}, h("section", { class: "card" }, h("h2", {}, "Live changes"), feed))));

  let shown = [];
  show(listed, false);

  function show(document, live) {
    buyers.textContent = count(document.buyers);
    purchases.textContent = count(document.purchases);
    exact.textContent = document.exact ? "exactly current" : "as published";
    const before = new Map(shown.map((entry, at) => [entry.item_id, { entry, at }]));
    const tops = live ? new Map([...list.children].map((row) => [row.dataset.item, row.getBoundingClientRect().top])) : null;
    const entries = document.related.slice(0, SHOWN);
    const most = Math.max(1, ...entries.map((entry) => Math.max(entry.bought_together, entry.expected)));
    const best = Math.max(1e-12, ...entries.map((entry) => entry.score));
    list.replaceChildren(...entries.map((entry, at) => row(entry, at, most, best)));
    if (!entries.length) list.append(h("li", { class: "quiet" }, "No item is bought with it more often than chance explains."));
    if (live) {
      const news = changes(before, entries, document);
      if (news.length) feed.querySelector(".quiet")?.remove();
      feed.prepend(...news);
      while (feed.children.length > 40) feed.lastChild.remove();
      for (const element of list.children) {
        const old = before.get(element.dataset.item);
        const entry = entries.find((candidate) => candidate.item_id === element.dataset.item);
        if (entry && (!old || old.entry.bought_together !== entry.bought_together)) element.classList.add("fresh");
        glide(element, tops);
      }
    }
    shown = entries;
  }

  return on("related", (document) => { if (document.item_id === id) show(document, true); });
}

function row(entry, at, most, best) {
  const expected = Math.min(entry.expected, entry.bought_together);
  const trend = entry.trend >= 1.05 ? "up" : entry.trend <= 0.95 ? "down" : "even";
  return h("li", { class: "row", "data-item": entry.item_id },
    h("span", { class: "rank" }, at + 1), named(entry),
    h("span", { class: "meter" },
      h("span", { class: "track", "--expected": `${100 * expected / most}%`, "--surplus": `${100 * (entry.bought_together - expected) / most}%` },
        h("i", { class: "expected" }), h("i", { class: "surplus" })),
      h("span", { class: "track thin", "--score": `${100 * entry.score / best}%` }, h("i", { class: "score" }))),
    h("span", { class: "figures" },
      h("span", { title: "N: customers who bought both" }, h("b", {}, count(entry.bought_together)), h("small", { title: "E: customers expected to by chance" }, ` vs ${decimal(entry.expected)}`, h("span", { class: "wide" }, " expected"))),
      h("small", {}, h("span", { class: `trend ${trend}`, title: "trend: recent share of purchases over overall share" }, `${trend === "up" ? "\u25b2" : trend === "down" ? "\u25bc" : "\u25cf"} ${decimal(entry.trend, 2)}`), h("span", {}, ` \u00b7 score ${decimal(entry.score, 2)}`))));
}

// Feed entries for the differences between the previous list and this one.
function changes(before, entries, document) {
  const time = new Date().toLocaleTimeString("en", { hour12: false });
  const news = [];
  entries.forEach((entry, at) => {
    const old = before.get(entry.item_id);
    const link = h("a", { href: itemLink(entry.item_id) }, entry.title ?? entry.item_id);
    if (!old) news.push([link, ` enters at ${at + 1}`]);
    else if (old.entry.bought_together !== entry.bought_together) news.push([link, ` ${count(old.entry.bought_together)} \u2192 `, h("b", {}, count(entry.bought_together)), " together"]);
    else if (old.at !== at) news.push([link, ` moves ${old.at + 1} \u2192 ${at + 1}`]);
  });
  if (!news.length) news.push([`scores changed; ${plural(document.buyers, "customer", "customers")}`]);
  const rows = news.slice(0, 8).map((what) => h("li", { class: "fresh" }, h("time", {}, time), h("span", {}, what)));
  if (news.length > 8) rows.push(h("li", {}, h("time", {}, time), h("span", {}, `and ${news.length - 8} more`)));
  return rows;
}

// Animates a row from its previous position to its new one.
function glide(element, tops) {
  const from = tops?.get(element.dataset.item);
  if (from === undefined || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const distance = from - element.getBoundingClientRect().top;
  if (Math.abs(distance) > 1) element.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: 450, easing: "cubic-bezier(.2,.8,.2,1)" });
}
