// The hit rates of recommendations and bestsellers over event time: how often the next order contained one of them.

import { ask } from "./api.js";
import { count, date, h, percent, svg } from "./elements.js";

const DAY_MS = 86400000;
const WIDTH = 100;
const HEIGHT = 40;

// The content of the card.
export async function quality() {
  const answer = await ask(["quality"]);
  if (!answer.orders) {
    return [h("h2", {}, "Hit rate"), h("p", { class: "quiet" }, "No order was scored yet. A worker scores a sample of the orders before it counts them if it is started with ", h("code", {}, "--score-one-in 20"), "; ", h("code", {}, "alsobought replay --prequential"), " scores those of a log.")];
  }
  const { days } = answer;
  const last = days.at(-1);
  const begin = Date.parse(days[0].day);
  const span = Math.max(1, (Date.parse(last.day) - begin) / DAY_MS);
  const most = Math.max(0.01, ...days.map((day) => Math.max(day.hit_rate, day.bestseller_hit_rate)));
  const curve = (rate) => {
    const points = days.map((day) => `${(WIDTH * (Date.parse(day.day) - begin) / DAY_MS / span).toFixed(2)},${(HEIGHT - 1 - (HEIGHT - 4) * day[rate] / most).toFixed(2)}`);
    return `M${points.join("L")}${days.length === 1 ? `H${WIDTH}` : ""}`;
  };
  const summary = `Running hit rates: recommended ${percent(last.hit_rate, 1)}, bestsellers ${percent(last.bestseller_hit_rate, 1)}`;
  return [
    h("h2", {}, "Hit rate"),
    h("p", { class: "legend" },
      h("span", {}, h("i", { class: "key surplus" }), "recommended ", h("b", {}, percent(last.hit_rate, 1))),
      h("span", {}, h("i", { class: "key score" }), "bestsellers ", h("b", {}, percent(last.bestseller_hit_rate, 1)))),
    h("figure", {},
      svg("svg", { class: "curves", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
        svg("path", { class: "bestsellers", d: curve("bestseller_hit_rate") }),
        svg("path", { class: "recommended", d: curve("hit_rate") })),
      h("figcaption", {}, h("span", {}, date(days[0].day)), h("span", {}, `0 to ${percent(most, 1)}`), h("span", {}, date(last.day)))),
    h("p", { class: "hint" }, `How often an order contained, among the items new to its customer, one of the top ${count(answer.at)} recommendations, or one of the top ${count(answer.at)} bestsellers. Running rates with a half-life of ${count(answer.running_half_life_days)} days. Orders are scored before they are counted: ${count(answer.orders)} so far, with ${count(answer.hits)} hits by recommendations and ${count(answer.bestseller_hits)} by bestsellers.`),
  ];
}
