// How often recommendations contained what the next order brought, beside bestsellers: two curves over event time.

import { ask } from "./api.js";
import { count, date, h, percent, svg } from "./elements.js";

const DAY_MS = 86400000;
const WIDTH = 100;
const HEIGHT = 40;

// The card; null as long as no order was scored.
export async function quality() {
  const answer = await ask(["quality"]);
  if (!answer.orders) return null;
  const { days } = answer;
  const last = days.at(-1);
  const begin = Date.parse(days[0].day);
  const span = Math.max(1, (Date.parse(last.day) - begin) / DAY_MS);
  const most = Math.max(0.01, ...days.map((day) => Math.max(day.hit_rate, day.bestseller_hit_rate)));
  const curve = (rate) => {
    const points = days.map((day) => `${(WIDTH * (Date.parse(day.day) - begin) / DAY_MS / span).toFixed(2)},${(HEIGHT - 1 - (HEIGHT - 4) * day[rate] / most).toFixed(2)}`);
    return `M${points.join("L")}${days.length === 1 ? `H${WIDTH}` : ""}`;
  };
  const said = `running hit rates: recommended ${percent(last.hit_rate, 1)}, bestsellers ${percent(last.bestseller_hit_rate, 1)}`;
  return h("section", { class: "card quality" },
    h("h2", {}, "Hit rate"),
    h("p", { class: "legend" },
      h("span", {}, h("i", { class: "key surplus" }), "recommended ", h("b", {}, percent(last.hit_rate, 1))),
      h("span", {}, h("i", { class: "key score" }), "bestsellers ", h("b", {}, percent(last.bestseller_hit_rate, 1)))),
    h("figure", {},
      svg("svg", { class: "curves", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said },
        svg("path", { class: "bestsellers", d: curve("bestseller_hit_rate") }),
        svg("path", { class: "recommended", d: curve("hit_rate") })),
      h("figcaption", {}, h("span", {}, date(days[0].day)), h("span", {}, `0 to ${percent(most, 1)}`), h("span", {}, date(last.day)))),
    h("p", { class: "hint" }, `How often one of the ${count(answer.at)} items first recommended, or of the ${count(answer.at)} bestsellers, was among the new ones that an order brought; running over ${count(answer.running_half_life_days)} days. ${count(answer.orders)} orders were scored before they were counted: ${count(answer.hits)} hits, bestsellers ${count(answer.bestseller_hits)}.`));
}
