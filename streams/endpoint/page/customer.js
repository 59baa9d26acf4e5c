// A customer: the history beside the recommendations, with the purchases that led to each.

import { ask } from "./api.js";
import { download } from "./csv.js";
import { choice, count, date, decimal, h, named, percent, plural, problem } from "./elements.js";

const KINDS = [
  ["New items", {}],
  ["With repeats", { repeats_share: 0.6 }],
  ["Lists only", { popularity_share: 0 }],
];

export async function customer(view, id) {
  const [person, first] = await Promise.all([
    ask(["customers", id], { limit: 200 }),
    ask(["customers", id, "recommendations"], { limit: 20, reasons: 5 }),
  ]);
  const list = h("ol", { class: "rows recommended" });
  const history = h("ol", { class: "rows history" }, person.history.map((entry) => h("li", { class: "row", "data-item": entry.item_id },
    named(entry), h("span", { class: "figures" }, h("b", {}, `${count(entry.purchases)}\u2009\u00d7`), h("small", {}, date(entry.last))))));
  if (!person.history.length) history.append(h("li", { class: "quiet" }, "Nothing is held: everything was returned."));
  let shown = [];
  view.replaceChildren(
    h("section", { class: "card hero" },
      h("div", { class: "who" }, h("p", { class: "eyebrow" }, "customer"), h("h1", {}, person.customer_id)),
      h("dl", { class: "facts" },
        h("div", {}, h("dt", {}, "items held"), h("dd", {}, h("b", {}, count(person.items_held)))),
        h("div", {}, h("dt", {}, "purchases"), h("dd", {}, h("b", {}, count(person.purchases)))),
        h("div", {}, h("dt", {}, "last"), h("dd", {}, h("b", {}, date(person.history[0]?.last)))))),
    h("div", { class: "columns even" },
      h("section", { class: "card" },
        h("div", { class: "head" }, h("h2", {}, "Recommended"),
          h("div", { class: "tools" }, choice("What to recommend", KINDS.map(([name]) => name), 0, again),
            download(`recommendations ${id}`, ["rank", "item_id", "title", "score"], () => shown.map((entry, at) => ({ rank: at + 1, ...entry }))))),
        h("p", { class: "legend" }, h("span", {}, h("i", { class: "key seed" }), "because of an item bought"), h("span", {}, h("i", { class: "key popularity" }), "popularity"), h("span", {}, h("i", { class: "key repeats" }), "own repeats"), h("span", {}, h("i", { class: "key others" }), "other items bought")),
        list),
      h("section", { class: "card" },
        h("div", { class: "head" }, h("h2", {}, "Bought"), h("div", { class: "tools" }, h("span", { class: "hint" }, person.items_held > person.history.length ? `the last ${person.history.length} of ${plural(person.items_held, "item", "items")}` : "latest first"),
          download(`history ${id}`, ["item_id", "title", "purchases", "first", "last"], () => person.history))),
        history)));
  show(first);
  return { title: `Customer ${id}` };

  async function again(which) {
    list.setAttribute("aria-busy", "true");
    try {
      show(await ask(["customers", id, "recommendations"], { limit: 20, reasons: 5, ...KINDS[which][1] }));
    } catch (error) {
      list.replaceChildren(h("li", {}, problem(error, () => again(which))));
    } finally {
      list.removeAttribute("aria-busy");
    }
  }

  function show(answer) {
    shown = answer.recommendations;
    if (!shown.length) return list.replaceChildren(h("li", { class: "quiet" }, "Nothing can be recommended: no item may be shown."));
    const best = Math.max(1e-12, ...answer.recommendations.map((entry) => entry.score));
    list.replaceChildren(...answer.recommendations.map((entry, at) => h("li", { class: "row" },
      h("span", { class: "rank" }, at + 1), named(entry),
      h("span", { class: "figures" }, h("b", {}, percent(entry.score, 2))),
      h("span", { class: "meter" }, h("span", { class: "stack", "--score": `${100 * entry.score / best}%` }, entry.because.map((reason) => segment(reason, entry)))),
      h("ul", { class: "because" }, entry.because.slice(0, 6).map((reason) => h("li", { class: kind(reason), ...point(reason) }, because(reason, entry)))))));
  }

  // Hovering over a reason highlights the purchase it refers to.
  function point(reason) {
    if (!("item_id" in reason)) return {};
    const lit = (yes) => () => {
      for (const row of history.children) row.classList.toggle("lit", yes && row.dataset.item === reason.item_id);
      if (yes) history.querySelector(".lit")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    };
    return { onmouseenter: lit(true), onmouseleave: lit(false) };
  }
}

const kind = (reason) => ("item_id" in reason ? "seed" : "popularity" in reason ? "popularity" : "repeats" in reason ? "repeats" : "others"); // also of what fills a list up

function segment(reason, entry) {
  return h("i", { class: kind(reason), "--share": `${100 * reason.share / (entry.score || 1)}%`, title: text(reason) });
}

function text(reason) {
  if ("item_id" in reason) return `${reason.title ?? reason.item_id}: ${count(reason.bought_together)} bought both, ${decimal(reason.expected)} expected`;
  if ("popularity" in reason) return `popularity: ${percent(reason.popularity, 2)} of recent purchases`;
  if ("filler" in reason) return `fills the list up: bought ${plural(reason.filler, "time", "times")}`;
  return "repeats" in reason ? `bought ${plural(reason.repeats, "time", "times")} before` : `${plural(reason.others, "other item", "other items")} bought`;
}

function because(reason, entry) {
  if ("filler" in reason) return [text(reason)];
  const share = h("b", {}, percent(reason.share / entry.score));
  if ("item_id" in reason) return [share, " ", named({ ...reason, title: reason.title ?? reason.item_id }), h("small", {}, ` ${reason.event ? `${reason.event}, ` : ""}${count(reason.bought_together)} vs ${decimal(reason.expected)}`)];
  return [share, ` ${"popularity" in reason ? "popularity" : text(reason)}`];
}
