// The page: the fragment of its address selects the view.

import { leaveView, onWaiting } from "./api.js";
import { catalogue } from "./catalogue.js";
import { customer } from "./customer.js";
import { h, loading, notYet, problem } from "./elements.js";
import { home } from "./home.js";
import { item } from "./item.js";
import { watch } from "./live.js";
import { operations } from "./operations.js";
import { pair } from "./pair.js";
import "./search.js";

// A view fills a holder from the parts of its address, and returns its title, the item whose list it watches, and what
// to call when it is left.
const VIEWS = [
  ["pair", /^#\/items\/([^/]+)\/related\/([^/]+)$/, pair],
  ["item", /^#\/items\/(.+)$/, item],
  ["customer", /^#\/customers\/(.+)$/, customer],
  ["catalogue", /^#\/catalogue(?:\/(.+))?$/, catalogue],
  ["operations", /^#\/operations$/, operations],
  ["home", /^/, home],
];
const view = document.getElementById("view");
const theme = document.getElementById("theme");
let left = null;
let turn = 0;

function decoded(text) {
  try {
    return text && decodeURIComponent(text);
  } catch {
    return text; // not valid percent-encoding: an address typed by hand
  }
}

async function show() {
  const number = ++turn;
  left?.();
  left = null;
  leaveView();
  const [name, pattern, fill] = VIEWS.find(([, pattern]) => pattern.test(location.hash));
  const parts = location.hash.match(pattern).slice(1).map(decoded);
  const holder = h("div", { class: "view" });
  view.setAttribute("aria-busy", "true");
  if (!view.children.length) view.append(loading());
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let shown = {};
  try {
    shown = await fill(holder, ...parts);
  } catch (error) {
    holder.replaceChildren(problem(error, show));
    shown = { title: holder.querySelector("h1").textContent };
  }
  if (number !== turn) return shown.leave?.();
  left = shown.leave ?? null;
  watch(shown.watched);
  document.title = shown.title ? `${shown.title} \u00b7 alsobought` : "alsobought";
  view.replaceChildren(holder);
  view.removeAttribute("aria-busy");
  if (number > 1) arrive();
}

// Whoever follows a link is taken to the head of the view, as by a link to another page.
function arrive() {
  const head = view.querySelector("h1") ?? view;
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
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
// The fragment selects the view, so the skip link must not change it.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});
// A view that is there stays while one of its questions waits.
onWaiting((missing) => { if (view.getAttribute("aria-busy")) view.replaceChildren(notYet(missing)); });
addEventListener("hashchange", show);
show();
