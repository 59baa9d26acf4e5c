// The page: the fragment of its address selects the view.

import { leaveView, onWaiting } from "./api.js";
import { customer } from "./customer.js";
import { h, notYet, problem } from "./elements.js";
import { home } from "./home.js";
import { item } from "./item.js";
import { watch } from "./live.js";
import "./search.js";

const view = document.getElementById("view");
const theme = document.getElementById("theme");
let leave = null;
let turn = 0;

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not valid percent-encoding: an address typed by hand
  }
}

async function show() {
  const number = ++turn;
  leave?.();
  leave = null;
  leaveView();
  const [, kind, encoded] = location.hash.match(/^#\/(items|customers)\/(.+)$/) ?? [];
  const name = encoded === undefined ? undefined : decoded(encoded);
  const holder = h("div", { class: "view" });
  view.setAttribute("aria-busy", "true");
  let after = null;
  try {
    document.title = name === undefined ? "alsobought" : `${name} \u00b7 alsobought`;
    after = await (kind === "items" ? item(holder, name) : kind === "customers" ? customer(holder, name) : home(holder));
  } catch (error) {
    holder.replaceChildren(problem(error));
  }
  if (number !== turn) return after?.();
  leave = after ?? null;
  watch(kind === "items" ? name : undefined);
  view.replaceChildren(holder);
  view.removeAttribute("aria-busy");
  scrollTo(0, 0);
}

const THEMES = { auto: ["\u25d0", "follow the system"], light: ["\u2600", "light"], dark: ["\u263e", "dark"] };

function setTheme(name) {
  if (name === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset.theme = name;
    localStorage.setItem("theme", name);
  }
  theme.textContent = THEMES[name][0];
  theme.title = `Colours: ${THEMES[name][1]}`;
  theme.setAttribute("aria-label", theme.title);
}

theme.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % names.length]);
});
setTheme(document.documentElement.dataset.theme ?? "auto");
// A view that is there stays while one of its questions waits.
onWaiting((missing) => { if (view.getAttribute("aria-busy")) view.replaceChildren(notYet(missing)); });
addEventListener("hashchange", show);
show();
