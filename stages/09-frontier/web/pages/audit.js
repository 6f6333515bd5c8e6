// The audit log, newest first.

import { html } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { Pager } from "/web/lib/cursor.js";
import { PROGRAM } from "/web/lib/more.js";
import { Failure, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { href } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";

const INTERVAL = 5000;

// What something was done to, with a link where there is a page about it.
const Target = ({ row: { action, target } }) => /^evaluation\./.test(action)
  ? html`<a class="code" href=${href("eval", target)}>${visibleName(target)}</a>`
  : html`<code>${visibleName(target)}</code>`;

function detail(text) {
  try {
    return Object.entries(JSON.parse(text)).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
  } catch { return text; }
}

const Row = ({ row }) => html`<tr><td class="number">${row.number}</td><td><${Time} at=${row.time} /></td>
  <td><code>${visibleName(row.actor)}</code>${row.peer && html` <small>${visibleName(row.peer)}</small>`}</td>
  <td>${visibleName(row.action)}</td><td><${Target} row=${row} /></td><td>${visibleName(detail(row.detail))}</td>
  <td><code title=${row.hash}>${row.hash.slice(0, 12)}…</code></td></tr>`;

export default function Page({ route: { query } }) {
  const cursor = query.get("cursor");
  const { value, error } = usePolled(signal => get("/audit", { query: { limit: 50, cursor }, signal }), [cursor], INTERVAL);
  return html`<p>Each row has a hash over itself and the row before. <code>${PROGRAM} audit verify</code> checks all of them.</p>
    <${Failure} error=${error} />
    ${!value && !error && html`<p role="status">Loading…</p>`}
    ${value?.items.length === 0 && html`<p>Nothing is recorded.</p>`}
    ${value?.items.length > 0 && html`<div class="scroll"><table><caption class="hidden">Audit log, newest first</caption>
      <thead><tr>${["Row", "Time", "Key", "Action", "Target", "Details", "Hash"].map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${value.items.map(row => html`<${Row} key=${row.number} row=${row} />`)}</tbody></table></div>
      <${Pager} next=${value.next_cursor} />`}`;
}
