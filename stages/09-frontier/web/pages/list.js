// The list of evaluations. All of its filters are in the address.

import { html, useEffect, useRef, useState } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { Pager } from "/web/lib/cursor.js";
import { duration } from "/web/lib/format.js";
import { Failure, Labels, Status, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { go, href, setQuery } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";

const STATUSES = ["queued", "running", "completed", "failed", "cancelled"];
const OUTCOMES = [
  "exited", "signaled", "wall_time_exceeded", "cpu_time_exceeded", "memory_exceeded", "pids_exceeded", "output_exceeded",
  "disk_exceeded", "queue_time_exceeded", "engine_error", "worker_lost", "cancelled",
];
const SIZES = ["20", "50", "100"];
const INTERVAL = 2000;

const Choice = ({ label, name, value, values, all = "any" }) => html`<label>${label}
  <select name=${name} value=${value} onChange=${event => setQuery({ [name]: event.target.value, cursor: null })}>
    ${all && html`<option value="">${all}</option>`}
    ${[...new Set([...values, value].filter(Boolean))].map(one => html`<option key=${one} value=${one}>${visibleName(one)}</option>`)}
  </select></label>`;

function Filters({ query }) {
  const label = useRef(null);
  const value = name => query.get(name) ?? "";
  const isFiltered = ["status", "outcome", "label", "batch"].some(value);
  return html`<form class="row filters" aria-label="Filters" onSubmit=${event => {
      event.preventDefault();
      setQuery({ label: label.current.value.trim(), cursor: null });
    }}>
    <${Choice} label="Status" name="status" value=${value("status")} values=${STATUSES} />
    <${Choice} label="Outcome" name="outcome" value=${value("outcome")} values=${OUTCOMES} />
    <label>Label <input ref=${label} name="label" placeholder="model:m-1" value=${value("label")} key=${value("label")}
      onChange=${event => setQuery({ label: event.target.value.trim(), cursor: null })} /></label>
    <${Choice} label="On a page" name="limit" value=${value("limit") || "20"} values=${SIZES} all=${null} />
    ${isFiltered && html`<a class="button" href=${href("list")}>All of them</a>`}</form>`;
}

// The keys of a list: j and k move on, Enter opens, which is what a link does by itself.
function useRowKeys(table) {
  useEffect(() => {
    const onKey = event => {
      const isTyping = event.target.closest?.("input, textarea, select, [contenteditable=true]");
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !["j", "k"].includes(event.key)) return;
      const links = [...table.current?.querySelectorAll("tbody th a") ?? []];
      const at = links.indexOf(document.activeElement);
      const next = at === -1 ? 0 : Math.min(links.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)));
      links[next]?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

const lasted = ({ usage, timing }) => usage?.wall_ms != null ? duration(usage.wall_ms)
  : timing.started_at && !timing.finished_at ? duration(Math.max(0, Date.now() - Date.parse(timing.started_at))) : "—";

// Two of them are chosen to be compared.
function Rows({ items, chosen, choose }) {
  const table = useRef(null);
  useRowKeys(table);
  return html`<div class="scroll"><table ref=${table}><caption class="hidden">Evaluations, newest first</caption>
    <thead><tr><th scope="col"><span class="hidden">To be compared</span></th><th scope="col">Submitted</th><th scope="col">Status</th><th scope="col">Id</th>
      <th scope="col" class="number">Ran</th><th scope="col">Labels</th></tr></thead>
    <tbody>${items.map(one => html`<tr key=${one.id} data-id=${one.id}>
      <td><input type="checkbox" aria-label=${`Compare ${one.id}`} checked=${chosen.includes(one.id)} onChange=${() => choose(one.id)} /></td>
      <td><${Time} at=${one.timing.submitted_at} /></td>
      <td><${Status} of=${one} /></td>
      <th scope="row"><a class="code" href=${href("eval", one.id)}>${one.id}</a></th>
      <td class="number">${lasted(one)}</td>
      <td><${Labels} labels=${one.labels} /></td></tr>`)}</tbody></table></div>`;
}

// A page of a list, or of a batch, which has the same form.
async function load(query, signal) {
  const { batch, status, outcome, label, limit, cursor } = Object.fromEntries(query);
  if (!batch) return get("/eval", { query: { status, outcome, label, limit, cursor }, signal });
  return get(`/batches/${encodeURIComponent(batch)}/results`, { query: { limit, cursor }, signal });
}

export default function Page({ route: { query } }) {
  const { value, error } = usePolled(signal => load(query, signal), [query.toString()], INTERVAL);
  const [chosen, set] = useState([]);
  const choose = id => set(old => old.includes(id) ? old.filter(one => one !== id) : [...old, id].slice(-2));
  const batch = query.get("batch");
  return html`
    <${Filters} query=${query} />
    ${batch && html`<p>Those of the batch <code>${visibleName(batch)}</code>, in the order in which they were submitted.</p>`}
    <${Failure} error=${error} />
    ${!value && !error && html`<p role="status">Loading…</p>`}
    ${value && html`
      ${value.items.length ? html`<${Rows} items=${value.items} chosen=${chosen} choose=${choose} />`
        : html`<p role="status">No evaluation is of that kind.</p>`}
      <div class="row"><${Pager} next=${value.next_cursor} />
        ${chosen.length === 2 && html`<button type="button" class="primary"
          onClick=${() => go(href("compare", { a: chosen[0], b: chosen[1] }))}>Compare the two</button>`}
      </div>
      <p class="faint">j and k move from one to the next, Enter opens it, / finds an id.</p>`}`;
}
