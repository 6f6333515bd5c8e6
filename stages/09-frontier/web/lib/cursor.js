// Pages of a list by a cursor, which is in the address. A cursor says where a page begins, whatever has come since:
// the page stays as it is while new ones arrive, and the back button leads to the one before.

import { html } from "./ui.js";
import { route, setQuery } from "./router.js";

export function Pager({ next, newest = "Newest", older = "Older" }) {
  const isFirst = !route.value.query.get("cursor");
  return html`<nav class="row pager" aria-label="Pages of the list">
    <button type="button" disabled=${isFirst} onClick=${() => setQuery({ cursor: null }, {})}>${newest}</button>
    <button type="button" disabled=${!next} onClick=${() => setQuery({ cursor: next }, {})}>${older}</button>
    ${isFirst ? html`<small>The newest, kept up to date.</small>` : html`<small>From an earlier moment on; new ones are on the first page.</small>`}
  </nav>`;
}
