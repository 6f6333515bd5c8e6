// The parts of one webhook: its secret, its deliveries, what can be done with it.

import { html, useState } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { Confirm, useAction } from "/web/lib/act.js";
import { CopyButton, Facts, Failure, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { go, href, setQuery } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";

const INTERVAL = 3000;
const PAGE_SIZE = 50;
const COLUMNS = ["Event", "State", "Attempts", "Made", "Next attempt", "Last failure"];

export const isRule = ({ id }) => id.startsWith("rule-");

// A secret, which the server shows once. `until` is when the one before it ends.
export const Secret = ({ secret, until }) => html`<section class="card" aria-label="Secret of the webhook">
  <p role="status"><strong>This secret is shown once.</strong> Its receiver verifies signatures with it, as Standard Webhooks has it.
    ${until && html` Until <${Time} at=${until} /> the one before it signs as well.`}</p>
  <p><code>${secret}</code> <${CopyButton} text=${secret}>Copy secret<//></p></section>`;

export const Events = ({ of }) => of.map(name => html`<code class="label" key=${name}>${visibleName(name)}</code>`);

const Row = ({ one }) => html`<tr data-state=${one.state}><td><code>${visibleName(one.type)}</code></td>
  <td><span class="status" data-kind=${one.state === "parked" ? "failed" : "queued"}>${one.state}</span></td>
  <td class="number">${one.attempts}</td><td><${Time} at=${one.created_at} /></td>
  <td><${Time} at=${one.next_attempt_at} /></td><td>${visibleName(one.error ?? "")}</td></tr>`;

function Deliveries({ page, cursor }) {
  if (page.items.length === 0) return html`<p>Nothing waits, and nothing is parked.</p>`;
  return html`<div class="scroll"><table><caption class="hidden">Deliveries that were not made yet, oldest first</caption>
      <thead><tr>${COLUMNS.map(name => html`<th key=${name} scope="col" class=${name === "Attempts" ? "number" : undefined}>${name}</th>`)}</tr></thead>
      <tbody>${page.items.map(one => html`<${Row} key=${one.id} one=${one} />`)}</tbody></table></div>
    <nav class="row pager" aria-label="Pages of the deliveries">
      <button type="button" disabled=${!cursor} onClick=${() => setQuery({ cursor: null }, {})}>Oldest</button>
      <button type="button" disabled=${!page.next_cursor} onClick=${() => setQuery({ cursor: page.next_cursor }, {})}>Newer</button></nav>`;
}

export function One({ id, cursor }) {
  const path = `/webhooks/${encodeURIComponent(id)}`;
  const load = async signal => {
    const [webhook, page] = await Promise.all([
      get(path, { signal }), get(`${path}/deliveries`, { query: { limit: PAGE_SIZE, cursor }, signal }),
    ]);
    return { webhook, page };
  };
  const [round, again] = useState(0);
  const [made, show] = useState(null);
  const { value, error } = usePolled(load, [id, cursor, round], INTERVAL);
  const { isBusy, error: failure, act } = useAction();
  if (!value) return error ? html`<${Failure} error=${error} />` : html`<p role="status">Loading…</p>`;
  const { webhook, page } = value;
  const redeliver = () => act(async () => { await call("POST", `${path}/redeliver`); again(count => count + 1); });
  const rotate = () => act(async () => show(await call("POST", `${path}/rotate`)));
  const remove = () => act(async () => { await call("DELETE", path); go(href("webhooks")); });
  return html`<p><a href=${href("webhooks")}>All webhooks</a></p>
    <${Failure} error=${failure ?? error} />
    ${made && html`<${Secret} secret=${made.secret} until=${made.old_secret_until} />`}
    <${Facts} of=${[
      ["Id", html`<code>${webhook.id}</code>`],
      ["URL", html`<bdi>${visibleName(webhook.url)}</bdi>`],
      ["Events", html`<${Events} of=${webhook.events} />`],
      ["Made", html`<${Time} at=${webhook.created_at} />`],
      ["Delivered", webhook.delivered],
      ["Waiting", webhook.waiting],
      ["Parked", html`<span data-count="parked">${webhook.parked}</span>`],
      ["Dropped", webhook.dropped],
    ]} />
    <div class="row actions">
      <button type="button" disabled=${isBusy || webhook.parked === 0} onClick=${redeliver}>Send what is parked again</button>
      ${!isRule(webhook) && html`
        <${Confirm} name="Replace the secret" disabled=${isBusy} onConfirm=${rotate}
          question="For 24 hours each message is signed with both." />
        <${Confirm} name="Delete" disabled=${isBusy} onConfirm=${remove} question="What was not delivered is lost." />`}
      ${isRule(webhook) && html`<small>It is in the rule file of the server, which alone changes it.</small>`}
    </div>
    <h2>Not delivered yet</h2>
    <${Deliveries} page=${page} cursor=${cursor} />`;
}
