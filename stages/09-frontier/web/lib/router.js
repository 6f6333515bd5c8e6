// The address: `#/list?status=failed`. It is behind the `#`, so that no server and no log sees it, and it holds all
// that a page shows, so that it can be sent to somebody else.

import { signal } from "./ui.js";

function read() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  const [name = "", ...rest] = path.split("/").filter(Boolean).map(part => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { name: name || "submit", rest, query: new URLSearchParams(query) };
}

// What is shown: `{ name: "eval", rest: ["019a…"], query }`.
export const route = signal(read());
addEventListener("hashchange", () => { route.value = read(); });

// The address of a page: href("eval", id), href("list", { status: "failed" }).
export function href(...parts) {
  const query = typeof parts.at(-1) === "object" ? new URLSearchParams(Object.entries(parts.pop())
    .filter(([, value]) => value != null && value !== "")) : "";
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

// Goes to an address. With `replace`, the back button does not return to this one.
export function go(to, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", to);
  else location.hash = to;
  if (replace) route.value = read();
}

// Changes parts of the query of the page that is shown; null or "" removes one.
export function setQuery(changes, options = { replace: true }) {
  const { name, rest, query } = route.value;
  go(href(name, ...rest, { ...Object.fromEntries(query), ...changes }), options);
}
