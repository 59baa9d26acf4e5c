// An item: its related list and the counts behind the scores, updated live as purchases arrive; beside it, if one
// chooses, the list by another score.

import { ask, scores } from "./api.js";
import { download } from "./csv.js";
import { bars, count, date, decimal, h, itemLink, named, pairLink, plural, problem } from "./elements.js";
import { on, repeat } from "./live.js";
import { replaceRows } from "./motion.js";

const SHOWN = 50;
const AGAIN_MS = 3000;
const COLUMNS = ["rank", "item_id", "title", "score", "bought_together", "expected", "trend"];

export async function item(view, id) {
  const [facts, listed, names] = await Promise.all([ask(["items", id]), ask(["items", id, "related"], { limit: SHOWN }), scores()]);
  const list = h("ol", { class: "rows", id: "related" });
  const feed = h("ol", { class: "feed" }, h("li", { class: "quiet" }, "Changes to this list appear here as they happen."));
  const buyers = h("b", {}, count(facts.buyers));
  const purchases = h("b", {}, count(facts.purchases));
  const exact = h("span", { class: "chip" });
  const select = h("select", { id: "score", onchange: () => compare() }, h("option", { value: "" }, "no other"), names.filter((name) => name !== listed.score).map((name) => h("option", { value: name }, name)));
  const beside = h("aside", {});
  const live = h("section", { class: "card" }, h("h2", {}, "Live changes"), feed);
  const other = h("ol", { class: "rows compared" });
  const days = facts.daily_purchases;
  view.replaceChildren(
    h("section", { class: "card hero" },
      h("div", { class: "who" },
        h("p", { class: "eyebrow" }, facts.category ?? "item"),
        h("h1", {}, facts.title ?? facts.item_id),
        h("p", { class: "id" }, facts.item_id, facts.available ? null : h("span", { class: "chip warn" }, "unavailable"),
          facts.url ? h("a", { href: facts.url, rel: "noopener noreferrer", class: "chip" }, "in the shop") : null)),
      h("dl", { class: "facts" },
        h("div", {}, h("dt", {}, `${listed.pairs}s`), h("dd", {}, buyers)),
        h("div", {}, h("dt", {}, "purchases"), h("dd", {}, purchases))),
      h("figure", {}, bars(days.map((day) => day.purchases), `purchases per day, ${days.length} days`),
        h("figcaption", {}, h("span", {}, days.length ? date(days[0].day) : ""), h("span", {}, "purchases per day"), h("span", {}, days.length ? date(days.at(-1).day) : "")))),
    h("div", { class: "columns" },
      h("section", { class: "card" },
        h("div", { class: "head" }, h("h2", {}, "Bought together"),
          h("div", { class: "tools" }, exact, h("label", { for: "score", class: "hint" }, `by ${listed.score}, compared with`), select,
            download(`related to ${id}`, COLUMNS, () => ranked(shown)))),
        h("p", { class: "legend" }, h("span", {}, h("i", { class: "key expected" }), "expected by chance, E"), h("span", {}, h("i", { class: "key surplus" }), "beyond chance, up to N"), h("span", {}, h("i", { class: "key score" }), "score")),
        list),
      beside));
  beside.append(live);

  let shown = [];
  let changed = false;
  let compared = [];
  show(listed, false);

  function show(document, live) {
    buyers.textContent = count(document.buyers);
    purchases.textContent = count(document.purchases);
    exact.textContent = document.exact ? "exactly current" : "as published";
    const before = new Map(shown.map((entry, at) => [entry.item_id, { entry, at }]));
    const entries = document.related.slice(0, SHOWN);
    const most = Math.max(1, ...entries.map((entry) => Math.max(entry.bought_together, entry.expected)));
    const best = Math.max(1e-12, ...entries.map((entry) => entry.score));
    replaceRows(list, entries.map((entry, at) => row(id, entry, at, most, best)));
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
      }
    }
    shown = entries;
  }

  // Shows the list by the chosen score in place of the live changes, or those again.
  async function compare() {
    const score = select.value;
    compared = [];
    beside.parentElement.classList.toggle("even", score !== "");
    if (!score) return beside.replaceChildren(live);
    other.replaceChildren(h("li", { class: "quiet", role: "status" }, "Computing\u2026"));
    beside.replaceChildren(h("section", { class: "card" },
      h("div", { class: "head" }, h("h2", {}, `By ${score}`), h("div", { class: "tools" }, h("span", { class: "chip" }, "computed now"), download(`related to ${id} by ${score}`, COLUMNS, () => ranked(compared)))),
      h("p", { class: "legend" }, `beside each, its place by ${listed.score}`), other));
    await showCompared();
  }

  async function showCompared() {
    const score = select.value;
    changed = false;
    try {
      const answer = await ask(["items", id, "related"], { limit: SHOWN, score });
      if (score !== select.value) return;
      compared = answer.related;
    } catch (error) {
      return other.replaceChildren(h("li", {}, problem(error, showCompared)));
    }
    const places = new Map(shown.map((entry, at) => [entry.item_id, at + 1]));
    if (compared.length) replaceRows(other, compared.map((entry, at) => comparedRow(id, entry, at, places.get(entry.item_id))));
    else other.replaceChildren(h("li", { class: "quiet" }, "By this score, nothing is related to it."));
  }

  const unlisten = on("related", (document) => {
    if (document.item_id !== id) return;
    show(document, true);
    changed = true;
  });
  const stop = repeat(async () => { if (changed && select.value) await showCompared(); }, AGAIN_MS);
  return { title: facts.title ?? id, watched: id, leave: () => { unlisten(); stop(); } };
}

const ranked = (entries) => entries.map((entry, at) => ({ rank: at + 1, ...entry }));

// An entry of the list by another score, with its place in the list that is published.
function comparedRow(id, entry, at, place) {
  const way = place === undefined ? "absent" : place > at + 1 ? "up" : place < at + 1 ? "down" : "even";
  const text = place === undefined ? "not listed" : `${way === "up" ? "\u25b2" : way === "down" ? "\u25bc" : "\u25cf"} ${place}`;
  return h("li", { class: "row", "data-item": entry.item_id },
    h("span", { class: "rank" }, at + 1), named(entry),
    h("span", { class: "figures" },
      h("a", { class: "counts", href: pairLink(id, entry.item_id), title: "N and E, month by month" }, h("b", {}, count(entry.bought_together)), h("small", {}, ` vs ${decimal(entry.expected)}`)),
      h("small", {}, h("span", { class: `trend ${way}`, title: "its place in the published list" }, text), ` \u00b7 score ${decimal(entry.score, 2)}`)));
}

function row(id, entry, at, most, best) {
  const expected = Math.min(entry.expected, entry.bought_together);
  const trend = entry.trend >= 1.05 ? "up" : entry.trend <= 0.95 ? "down" : "even";
  return h("li", { class: "row", "data-item": entry.item_id },
    h("span", { class: "rank" }, at + 1), named(entry),
    h("span", { class: "meter" },
      h("span", { class: "track", "--expected": `${100 * expected / most}%`, "--surplus": `${100 * (entry.bought_together - expected) / most}%` },
        h("i", { class: "expected" }), h("i", { class: "surplus" })),
      h("span", { class: "track thin", "--score": `${100 * entry.score / best}%` }, h("i", { class: "score" }))),
    h("span", { class: "figures" },
      h("a", { class: "counts", href: pairLink(id, entry.item_id), title: "N, customers or orders with both, and E, expected by chance: month by month" }, h("b", {}, count(entry.bought_together)), h("small", {}, ` vs ${decimal(entry.expected)}`, h("span", { class: "wide" }, " expected"))),
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
  if (!news.length) news.push([`scores changed; ${plural(document.buyers, document.pairs, `${document.pairs}s`)}`]);
  const rows = news.slice(0, 8).map((what) => h("li", { class: "fresh" }, h("time", {}, time), h("span", {}, what)));
  if (news.length > 8) rows.push(h("li", {}, h("time", {}, time), h("span", {}, `and ${news.length - 8} more`)));
  return rows;
}
