// The keys of this server. They are made and revoked by commands, so that no page and no request can make one.

import { html } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { Pager } from "/web/lib/cursor.js";
import { PROGRAM } from "/web/lib/more.js";
import { CopyButton, Failure, Time, useLoaded } from "/web/lib/parts.js";
import { visibleName } from "/web/lib/text.js";

const COMMANDS = [
  ["Make one", `${PROGRAM} keys create --name NAME --scope submit --scope read`],
  ["Revoke one", `${PROGRAM} keys revoke ID`],
];

const Row = ({ one }) => html`<tr data-state=${one.state}><th scope="row"><bdi>${visibleName(one.name)}</bdi></th>
  <td>${one.state}</td><td>${one.scopes.join(", ")}</td><td><${Time} at=${one.created_at} /></td>
  <td><${Time} at=${one.last_used_at} /></td><td>${one.state === "revoked" ? html`<${Time} at=${one.revoked_at} />` : html`<${Time} at=${one.expires_at} />`}</td>
  <td><code>${one.id}</code></td></tr>`;

export default function Page({ route: { query } }) {
  const cursor = query.get("cursor");
  const { value, error } = useLoaded(signal => get("/keys", { query: { limit: 100, cursor }, signal }), [cursor]);
  return html`<p>A key is shown once, when a command on the server makes it. What is stored is a digest of it.</p>
    <ul class="commands">${COMMANDS.map(([name, command]) => html`<li key=${name}>${name}: <code>${command}</code> <${CopyButton} text=${command}>
      <span class="hidden">${name}: </span>Copy<//></li>`)}</ul>
    <${Failure} error=${error} />
    ${!value && !error && html`<p role="status">Loading…</p>`}
    ${value?.items.length === 0 && html`<p>There are none: this server is open to every process of its machine.</p>`}
    ${value?.items.length > 0 && html`<div class="scroll"><table><caption class="hidden">Keys, newest first</caption>
      <thead><tr>${["Name", "State", "Scopes", "Made", "Used last", "Ends", "Id"].map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${value.items.map(one => html`<${Row} key=${one.id} one=${one} />`)}</tbody></table></div>
      <${Pager} next=${value.next_cursor} />`}`;
}
