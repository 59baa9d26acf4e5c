// A pair of items: how N and E grew, month by month, and with them what makes the two related.

import { ask } from "./api.js";
import { download } from "./csv.js";
import { count, date, decimal, h, itemLink, plural, svg } from "./elements.js";

const COLUMNS = ["first_day", "last_day", "new_pairs", "bought_together", "expected", "difference"];
const WIDTH = 100;
const HEIGHT = 40;

export async function pair(view, id, otherId) {
  const answer = await ask(["items", id, "related", otherId]);
  const name = answer.title ?? answer.item_id;
  const other = answer.other.title ?? answer.other.item_id;
  const begin = answer.epochs.findIndex((epoch) => epoch.bought_together > 0);
  const epochs = begin < 0 ? [] : answer.epochs.slice(Math.max(begin - 1, 0));
  const last = epochs.at(-1);
  const whose = answer.pairs === "order" ? ["order holds", "orders hold"] : ["customer holds", "customers hold"];
  view.replaceChildren(
    h("section", { class: "card hero" },
      h("div", { class: "who" }, h("p", { class: "eyebrow" }, "bought together"),
        h("h1", {}, h("a", { href: itemLink(answer.item_id), class: "link" }, name), " and ", h("a", { href: itemLink(answer.other.item_id), class: "link" }, other)),
        answer.title || answer.other.title ? h("p", { class: "id" }, `${answer.item_id} \u00b7 ${answer.other.item_id}`) : null),
      h("dl", { class: "facts" },
        h("div", {}, h("dt", {}, "bought both, N"), h("dd", {}, h("b", {}, count(last?.bought_together ?? 0)))),
        h("div", {}, h("dt", {}, "by chance, E"), h("dd", {}, h("b", {}, decimal(last?.expected ?? 0)))),
        h("div", {}, h("dt", {}, "beyond chance"), h("dd", {}, h("b", {}, decimal(last?.difference ?? 0)))))),
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h2", {}, "How it came about"), epochs.length ? download(`${id} and ${otherId}`, COLUMNS, () => epochs) : null),
      epochs.length ? story(epochs, name, whose) : h("p", { class: "quiet" }, `No ${whose[0]} both ${name} and ${other} within the pair window.`)));
  return { title: `${name} and ${other}` };
}

function story(epochs, name, whose) {
  const most = Math.max(1, ...epochs.map((epoch) => Math.max(epoch.bought_together, epoch.expected)));
  const newest = Math.max(1, ...epochs.map((epoch) => epoch.new_pairs));
  const first = Date.parse(epochs[0].first_day);
  const span = Math.max(1, Date.parse(epochs.at(-1).first_day) - first);
  const points = (member) => epochs.map((epoch) => `${(WIDTH * (Date.parse(epoch.first_day) - first) / span).toFixed(2)},${(HEIGHT - 1 - (HEIGHT - 3) * epoch[member] / most).toFixed(2)}`).join("L");
  const line = (member) => (epochs.length === 1 ? `M${points(member)}H${WIDTH}` : `M${points(member)}`);
  const end = epochs.at(-1);
  const summary = `From ${date(epochs[0].first_day)} to ${date(end.last_day)}, N grew to ${count(end.bought_together)} and E to ${decimal(end.expected)}.`;
  return [
    h("p", { class: "legend" }, h("span", {}, h("i", { class: "key surplus" }), `N, ${whose[1]} both`), h("span", {}, h("i", { class: "key chance" }), "E, expected by chance")),
    h("figure", {},
      svg("svg", { class: "curves tall", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
        svg("path", { class: "chance", d: line("expected") }), svg("path", { class: "recommended", d: line("bought_together") })),
      h("figcaption", {}, h("span", {}, date(epochs[0].first_day)), h("span", {}, `0 to ${count(most)}`), h("span", {}, date(end.last_day)))),
    h("div", { class: "wide-table", role: "region", "aria-label": "Epochs", tabindex: "0" },
      h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "30 days from"), h("th", { scope: "col" }, "new"), h("td", { class: "gauge", "aria-hidden": "true" }), h("th", { scope: "col" }, "N"), h("th", { scope: "col" }, "E"), h("th", { scope: "col" }, "N \u2212 E"))),
        h("tbody", {}, [...epochs].reverse().map((epoch) => h("tr", {},
          h("th", { scope: "row" }, date(epoch.first_day)),
          h("td", {}, count(epoch.new_pairs)),
          h("td", { class: "gauge", "aria-hidden": "true" }, h("span", { class: "track", "--surplus": `${100 * epoch.new_pairs / newest}%` }, h("i", { class: "surplus" }))),
          h("td", {}, count(epoch.bought_together)),
          h("td", {}, decimal(epoch.expected)),
          h("td", {}, h("b", {}, decimal(epoch.difference)))))))),
    h("p", { class: "hint" }, `N and E are sums up to the end of each epoch of 30 days; ${plural(end.bought_together, ...whose)} both today. E before the last epoch is an estimate: what else was bought with ${name} is only known as of now. Most scores come from N \u2212 E.`),
  ];
}
