// Downloads of what is on screen, as CSV (RFC 4180).

import { h } from "./elements.js";

// A spreadsheet would compute a text that begins like a formula: a title comes from anywhere.
const FORMULA = /^[=+\-@\t\r]/;

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (columns, rows) => [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");

// A button that saves rows, which `rows` returns, with these members.
export function download(name, columns, rows) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([csv(columns, rows())], { type: "text/csv" }));
    h("a", { href: url, download: `${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  return h("button", { type: "button", class: "small", title: "Save what is shown, as CSV", onclick: save }, "CSV");
}
