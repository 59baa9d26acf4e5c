// For who runs it: what waits and why, what was done in the last hour, and where every partition is.

import { ask, askOnce, readiness } from "./api.js";
import { download } from "./csv.js";
import { bars, bytes, count, decimal, h, plural, short } from "./elements.js";
import { on, repeat } from "./live.js";

const AGAIN_MS = 5000;
const HOUR = 60;
const COLUMNS = ["kind", "partition", "owner", "offset", "lag", "commits", "state_bytes", "oldest_unpublished_ms"];
const SERIES = [
  ["lines", "order lines a minute"],
  ["commits", "commits a minute"],
  ["lists_published", "lists published a minute"],
  ["lag", "records waiting"],
];

export async function operations(view) {
  const reasons = h("ul", { class: "reasons" });
  const charts = h("div", { class: "charts" });
  const body = h("tbody", {});
  const whose = h("p", { class: "hint" });
  const trouble = h("p", { class: "hint warn", role: "status" });
  let partitions = [];
  let looks = [new Map(), new Map()]; // offsets at the look before, and at this one
  let standing = "";
  let unready = null;
  view.replaceChildren(
    h("section", { class: "card" }, h("div", { class: "head" }, h("h1", {}, "Operations"), trouble), h("h2", {}, "What waits"), reasons),
    h("section", { class: "card" }, h("h2", {}, "The last hour"), whose, charts),
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h2", {}, "Partitions"), download("partitions", COLUMNS, () => partitions)),
      h("div", { class: "wide-table", role: "region", "aria-label": "Partitions", tabindex: "0" },
        h("table", {},
          h("thead", {}, h("tr", {}, ["partition", "owner", "offset", "lag", "commits", "oldest change", "disk"].map((name) => h("th", { scope: "col" }, name)))),
          body))));

  function show(answer, rates, missing) {
    partitions = answer.partitions;
    unready = missing;
    looks = [looks[1], new Map(partitions.map((row) => [key(row), { offset: row.offset, at: performance.now() }]))];
    explain();
    body.replaceChildren(...partitions.map((row) => h("tr", {},
      h("th", { scope: "row" }, key(row)), h("td", {}, row.owner || h("b", { class: "warn" }, "nobody")), h("td", {}, count(row.offset)),
      h("td", {}, row.lag ? h("b", {}, count(row.lag)) : "0"), h("td", {}, count(row.commits)),
      h("td", {}, row.oldest_unpublished_ms ? age(row.oldest_unpublished_ms) : "none"), h("td", {}, bytes(row.state_bytes)))));
    whose.textContent = `Of worker ${rates.worker} alone, the last whole minute in figures; /metrics has the same for Prometheus.`;
    charts.replaceChildren(...SERIES.map(([member, name]) => chart(rates.minutes, member, name)));
  }

  function explain() {
    reasons.replaceChildren(...waiting(partitions, looks, unready, standing).map(([kind, text]) => h("li", { class: kind }, text)));
  }

  const [answer, rates, missing] = await Promise.all([ask(["partitions"]), ask(["rates"]), readiness()]);
  show(answer, rates, missing);
  const unlisten = on("status", ({ state }) => {
    if (state === standing) return;
    standing = state;
    explain();
  });
  const stop = repeat(async () => {
    try {
      show(...(await Promise.all([askOnce(["partitions"]), askOnce(["rates"]), readiness()])));
      trouble.textContent = "";
    } catch (error) {
      trouble.textContent = `${error.message} What is shown is no longer current; the page tries again.`;
    }
  }, AGAIN_MS);
  return { title: "Operations", leave: () => { unlisten(); stop(); } };
}

const key = (row) => `${row.kind} ${row.partition}`;
const age = (ms) => (ms < 1000 ? `${count(ms)}\u2009ms` : `${decimal(ms / 1000)}\u2009s`);

// What waits, each with its reason.
function waiting(partitions, looks, missing, standing) {
  const reasons = missing ? [["warn", `This worker cannot answer yet: ${missing}.`]] : [];
  for (const row of partitions) {
    if (!row.owner) {
      reasons.push(["warn", `${key(row)} has no owner, so nothing of it is counted or answered. Its worker has ended or partitions are moving: if this stays, start a worker.`]);
    } else if (row.lag) {
      reasons.push(["", `${plural(row.lag, "record waits", "records wait")} to be counted in ${key(row)}, at ${row.owner}${pace(row, ...looks.map((look) => look.get(key(row))))}`]);
    }
  }
  for (const row of partitions.filter((one) => one.owner && one.oldest_unpublished_ms >= 1000)) {
    reasons.push(["", `Lists of ${key(row)} wait to be published: the oldest change that none reflects is ${age(row.oldest_unpublished_ms)} old. They are refreshed in turn, at most --lists-per-second.`]);
  }
  if (reasons.length) return reasons;
  if (standing === "stopped") return [["", "Nothing: this is a stored state, in which nothing is counted. Answers stand for its last commit."]];
  return [["fine", "Nothing: everything that was sent is counted, and every list is current."]];
}

function pace(row, before, now) {
  if (before === undefined) return ".";
  const rate = 1000 * (now.offset - before.offset) / Math.max(now.at - before.at, 1);
  if (rate <= 0) return ", and its offset has not moved since the last look. If this stays, look at that worker's log: it says what it waits for.";
  return `: ${short(rate)} a second are counted, so that takes ${duration(row.lag / rate)} if no more come.`;
}

const duration = (seconds) => (seconds < 90 ? plural(Math.max(seconds, 1), "second", "seconds") : seconds < 5400 ? plural(seconds / 60, "minute", "minutes") : plural(seconds / 3600, "hour", "hours"));

// A bar for each of sixty minutes; those before the process started are empty.
function chart(minutes, member, name) {
  const values = new Array(HOUR).fill(0);
  const end = Date.parse(minutes.at(-1)?.begin ?? 0);
  for (const minute of minutes) values[HOUR - 1 - Math.round((end - Date.parse(minute.begin)) / 60000)] = minute[member];
  const now = values.at(member === "lag" ? -1 : -2);
  const most = Math.max(...values);
  return h("figure", {},
    h("p", { class: "series" }, h("span", {}, name), h("b", {}, short(now))),
    bars(values, `${name}: ${count(now)}, at most ${count(most)} in an hour`),
    h("figcaption", {}, h("span", {}, "an hour ago"), h("span", {}, `most: ${short(most)}`), h("span", {}, "now")));
}
