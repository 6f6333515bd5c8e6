// The machines that run the programs of this server.

import { html } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { Confirm, useAction } from "/web/lib/act.js";
import { Facts, Failure, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { visibleName } from "/web/lib/text.js";

const INTERVAL = 2000;
// What a state is shown like: that of an evaluation which is about as good.
const KINDS = { ready: "completed", draining: "running", failing: "failed", lost: "nonzero" };
const COLUMNS = ["Name", "State", "Busy", "Environments", "Engine", "Version", "Last seen", "Actions"];

// { status, items }. A key that may not see the workers gets their sums: `items` is undefined.
async function load(signal) {
  const status = await get("/status", { signal });
  if (!status.fleet) return { status };
  try {
    return { status, items: (await get("/workers", { signal })).items };
  } catch (error) {
    if (error.status !== 403) throw error;
    return { status };
  }
}

function Worker({ one, onError }) {
  const { isBusy, act } = useAction();
  const { engine, runtime, runtime_version: version } = one.sandbox;
  const drain = () => act(async () => {
    try { await call("POST", `/workers/${one.id}/drain`); } catch (error) { onError(error); }
  });
  return html`<tr data-id=${one.id}><th scope="row"><bdi>${visibleName(one.name)}</bdi></th>
    <td><span class="status" data-kind=${KINDS[one.state]}>${one.state}</span>
      ${one.failing && html`<p class="failure">${visibleName(one.failing)}</p>`}</td>
    <td><meter min="0" max=${one.capacity} value=${one.busy} aria-label=${`Places of ${one.name} that are busy`}>${one.busy}</meter>${" "}
      <span class="faint">${one.busy} of ${one.capacity}</span></td>
    <td>${one.environments.map(name => html`<span class="label" key=${name}>${visibleName(name)}</span>`)}</td>
    <td>${[engine, runtime, version].filter(Boolean).map(visibleName).join(" / ")}</td><td>${visibleName(one.version)}</td>
    <td><${Time} at=${one.seen_at} /></td>
    <td>${one.state === "draining" || one.state === "lost" ? html`<span class="absent">—</span>` : html`<${Confirm} name="Drain" disabled=${isBusy}
      question=${`${visibleName(one.name)} will take no more work until it is started again. What runs there goes on.`} onConfirm=${drain} />`}</td></tr>`;
}

export default function Page() {
  const { value, error } = usePolled(load, [], INTERVAL);
  const action = useAction();
  if (!value) return error ? html`<${Failure} error=${error} />` : html`<p role="status">Loading…</p>`;
  const { status: { fleet }, items } = value;
  if (!fleet) return html`<p>This server runs programs itself. One with <code>--role api</code> has workers on other machines.</p>`;
  const fail = error => action.act(() => { throw error; });
  return html`<${Failure} error=${action.error ?? error} />
    <${Facts} of=${[
      ["Workers", `${fleet.workers}, ${fleet.ready} of them take work`],
      ["Places of ready workers", fleet.capacity],
      ["Running", fleet.running],
      ["Offered by the broker", fleet.published],
    ]} />
    ${fleet.broker_error && html`<p role="alert" class="failure">The broker takes no tickets: ${visibleName(fleet.broker_error)}</p>`}
    ${!items && html`<p class="faint">Each worker by itself is shown to keys with the scope admin.</p>`}
    ${items?.length === 0 && html`<p>No worker was seen lately. What is submitted waits for one.</p>`}
    ${items?.length > 0 && html`<div class="scroll"><table><caption class="hidden">Workers, in the order in which they were started</caption>
      <thead><tr>${COLUMNS.map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${items.map(one => html`<${Worker} key=${one.id} one=${one} onError=${fail} />`)}</tbody></table></div>`}`;
}
