// Lists whose rows move to their new places.

const DURATION_MS = 450;

// Replaces the rows of a list; those of items that were in it glide from where they were.
export function replaceRows(list, rows) {
  const tops = new Map([...list.children].map((row) => [row.dataset.item, row.getBoundingClientRect().top]));
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const [item, href] = [focused?.closest("[data-item]")?.dataset.item, focused?.getAttribute("href")];
  list.replaceChildren(...rows);
  if (item !== undefined) { // whoever is at a row of it with the keyboard stays there
    const row = rows.find((candidate) => candidate.dataset.item === item);
    [...(row?.querySelectorAll("a") ?? [])].find((link) => link.getAttribute("href") === href)?.focus({ preventScroll: true });
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of rows) {
    const from = tops.get(row.dataset.item);
    const distance = from === undefined ? 0 : from - row.getBoundingClientRect().top;
    if (Math.abs(distance) > 1) row.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: DURATION_MS, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}
