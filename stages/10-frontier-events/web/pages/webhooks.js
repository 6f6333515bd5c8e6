// Where events are sent to: the webhooks that this key sees, and the rules of the operator.

import { html, useRef, useState } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { useAction } from "/web/lib/act.js";
import { Failure, Time, useLoaded } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { href } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";
import { Events, One, Secret } from "/web/lib/webhook.js";

const INTERVAL = 3000;
const CHOICES = [
  "evaluation.completed", "evaluation.failed", "evaluation.cancelled", "resource.limit_exceeded", "security.violation",
  "evaluation.*", "*",
];
const COLUMNS = ["Id", "URL", "Events", "Delivered", "Waiting", "Parked", "Dropped", "Made"];

function Form({ onMade }) {
  const form = useRef(null);
  const { isBusy, error, act } = useAction();
  const submit = event => {
    event.preventDefault();
    const fields = new FormData(form.current);
    act(async () => {
      onMade(await call("POST", "/webhooks", { body: { url: fields.get("url").trim(), events: fields.getAll("events") } }));
      form.current.reset();
    });
  };
  return html`<details class="raw"><summary>Make a webhook</summary>
    <form ref=${form} aria-label="New webhook" onSubmit=${submit}>
      <p><label>URL <input name="url" type="url" required maxlength="2000" size="60" placeholder="https://example.org/crucible" autocomplete="off" /></label></p>
      <fieldset><legend>Events</legend><div class="row">${CHOICES.map((name, at) => html`<label class="row" key=${name}>
        <input type="checkbox" name="events" value=${name} defaultChecked=${at < 2} /> <code>${name}</code></label>`)}</div></fieldset>
      <${Failure} error=${error} />
      <button class="primary" disabled=${isBusy}>Make it</button></form></details>`;
}

const Row = ({ one }) => html`<tr data-id=${one.id}><th scope="row"><a class="code" href=${href("webhooks", one.id)}>${one.id}</a></th>
  <td><bdi>${visibleName(one.url)}</bdi></td><td><${Events} of=${one.events} /></td>
  ${["delivered", "waiting", "parked", "dropped"].map(name => html`<td class="number" key=${name}>${one[name]}</td>`)}
  <td><${Time} at=${one.created_at} /></td></tr>`;

const Rule = ({ one }) => html`<tr><th scope="row">${visibleName(one.name)}</th><td><${Events} of=${one.events} /></td>
  <td>${one.webhook ? html`a webhook, <a class="code" href=${href("webhooks", one.webhook)}>${one.webhook}</a>` : html`a line of the log, <code>${one.log}</code>`}</td></tr>`;

function Rules() {
  const { value, error } = useLoaded(signal => get("/rules", { signal }), []);
  if (error?.status === 403) return html`<p class="faint">Rules are shown to keys with the scope admin.</p>`;
  if (error) return html`<${Failure} error=${error} />`;
  if (!value) return html`<p role="status">Loading…</p>`;
  if (value.items.length === 0) return html`<p>None. An operator has them in a file, which is named by <code>--rules</code>.</p>`;
  return html`<div class="scroll"><table><caption class="hidden">Rules, in the order of their file</caption>
    <thead><tr>${["Name", "Events", "Become"].map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
    <tbody>${value.items.map(one => html`<${Rule} key=${one.name} one=${one} />`)}</tbody></table></div>`;
}

function List() {
  const [made, show] = useState(null);
  const { value, error } = usePolled(signal => get("/webhooks", { signal }), [made], INTERVAL);
  return html`<${Failure} error=${error} />
    ${made && html`<${Secret} secret=${made.secret} />`}
    <${Form} onMade=${show} />
    ${!value && !error && html`<p role="status">Loading…</p>`}
    ${value?.items.length === 0 && html`<p>There are none.</p>`}
    ${value?.items.length > 0 && html`<div class="scroll"><table><caption class="hidden">Webhooks, the oldest first</caption>
      <thead><tr>${COLUMNS.map((name, at) => html`<th key=${name} scope="col" class=${at > 2 && at < 7 ? "number" : undefined}>${name}</th>`)}</tr></thead>
      <tbody>${value.items.map(one => html`<${Row} key=${one.id} one=${one} />`)}</tbody></table></div>`}
    <h2>Rules</h2>
    <${Rules} />`;
}

export default function Page({ route: { rest: [id], query } }) {
  return id ? html`<${One} key=${id} id=${id} cursor=${query.get("cursor")} />` : html`<${List} />`;
}
