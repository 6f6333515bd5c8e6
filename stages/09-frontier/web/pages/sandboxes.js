// Sandboxes that stay: those of this key, and a new one.

import { html, useState } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { Pager } from "/web/lib/cursor.js";
import { Failure, Labels, Time, useLoaded } from "/web/lib/parts.js";
import { go, href } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";

const HEADINGS = ["Sandbox", "State", "Environment", "Labels", "Opened", "Ends"];

const Row = ({ one }) => html`<tr data-state=${one.status}><th scope="row"><a href=${href("sandbox", one.id)}><code>${one.id}</code></a></th>
  <td>${one.status}${one.end_reason && `: ${one.end_reason}`}</td><td><bdi>${visibleName(one.environment)}</bdi></td>
  <td><${Labels} labels=${one.labels} /></td><td><${Time} at=${one.created_at} /></td>
  <td><${Time} at=${one.ended_at ?? one.expires_at} /></td></tr>`;

function Opening() {
  const [state, set] = useState({});
  const open = async () => {
    set({ isBusy: true });
    try {
      go(href("sandbox", (await call("POST", "/sandboxes", { body: { labels: { opened_by: "page" } } })).id));
    } catch (error) { set({ error }); }
  };
  return html`<p><button type="button" class="primary" disabled=${state.isBusy} onClick=${open}>Open a sandbox</button>
    ${state.isBusy && html` <span role="status">It is being opened…</span>`}</p><${Failure} error=${state.error} />`;
}

export default function Page({ route: { query } }) {
  const cursor = query.get("cursor");
  const { value, error } = useLoaded(signal => get("/sandboxes", { query: { limit: 50, cursor }, signal }), [cursor]);
  return html`<p>A sandbox that stays keeps its files and processes between commands. It ends when it is removed, when
      nothing uses it for its idle time, and at the end of its lifetime.</p>
    <${Opening} />
    <${Failure} error=${error} />
    ${!value && !error && html`<p role="status">Loading…</p>`}
    ${value?.items.length === 0 && html`<p>There are none.</p>`}
    ${value?.items.length > 0 && html`<div class="scroll"><table><caption class="hidden">Sandboxes, newest first</caption>
      <thead><tr>${HEADINGS.map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${value.items.map(one => html`<${Row} key=${one.id} one=${one} />`)}</tbody></table></div>
      <${Pager} next=${value.next_cursor} />`}`;
}
