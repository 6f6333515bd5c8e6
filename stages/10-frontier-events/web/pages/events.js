// What happens on this server, while it happens.

import { html, useEffect, useState } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { Failure, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { href, setQuery } from "/web/lib/router.js";
import { follow } from "/web/lib/stream.js";
import { visibleName } from "/web/lib/text.js";

const INTERVAL = 5000;
// The oldest ones are not shown any more.
const MAX_EVENTS = 500;
const ALARMS = ["security.violation", "resource.limit_exceeded"];
const CHOICES = [["", "Alarms and ends"], ["alarms", "Alarms only"], ["all", "All but output"]];
const CONNECTION = { connecting: "Connecting…", live: "Live", lost: "Disconnected; trying again from the last event on.", ended: "" };

const isShown = {
  "": type => ALARMS.includes(type) || /^(evaluation\.(completed|failed|cancelled)|platform\.|stream\.)/.test(type),
  alarms: type => ALARMS.includes(type) || type === "stream.missed",
  all: type => type !== "evaluation.progress",
};

// The events of this kind since the page was opened, or since the number `after`: { events, connection, error }.
function useEvents(kind, after) {
  const [state, set] = useState({ events: [], connection: "connecting" });
  useEffect(() => {
    const stop = new AbortController();
    let events = [];
    let isDrawn = true;
    const change = changes => stop.signal.aborted || set(old => ({ ...old, ...changes }));
    const draw = () => {
      if (isDrawn) requestAnimationFrame(() => { isDrawn = true; change({ events }); });
      isDrawn = false;
    };
    set({ events: [], connection: "connecting" });
    follow("/events", {
      signal: stop.signal,
      lastId: after,
      onState: connection => change({ connection }),
      onEvent: ({ id, type, data }) => {
        if (!isShown[kind](type)) return;
        events = [{ ...JSON.parse(data), number: id, type }, ...events].slice(0, MAX_EVENTS);
        draw();
      },
    }).catch(error => change({ error, connection: "ended" }));
    return () => stop.abort();
  }, [kind, after]);
  return state;
}

const value = one => typeof one === "object" ? JSON.stringify(one) : String(one);

// What decided, and each counter that was read beside it.
function Evidence({ of: { decided_by: by, ...counters } }) {
  const decided = html`Decided by <code>${visibleName(by)}</code>`;
  if (Object.keys(counters).length === 0) return html`<div>${decided}</div>`;
  return html`<details><summary>${decided}</summary>
    <dl class="facts">${Object.entries(counters).map(([name, one]) => html`<div key=${name}>
      <dt>${visibleName(name)}</dt><dd>${visibleName(value(one))}</dd></div>`)}</dl></details>`;
}

// The members of an event that are short enough for a line.
function brief({ evidence, usage, sandbox, error, ...rest }) {
  return Object.entries(rest).filter(([, one]) => one !== null && typeof one !== "object" && one !== "")
    .map(([name, one]) => `${name}: ${value(one)}`).join(", ");
}

const Row = ({ event: { number, type, time, subject, data } }) => html`<tr data-type=${type}>
  <td class="number">${number}</td><td><${Time} at=${time} /></td>
  <td>${ALARMS.includes(type) ? html`<span class="status" data-kind=${type === ALARMS[0] ? "failed" : "nonzero"}>${type}</span>` : html`<code>${type}</code>`}</td>
  <td>${subject ? html`<a class="code" href=${href("eval", subject)}>${subject}</a>` : html`<span class="absent">—</span>`}</td>
  <td>${visibleName(brief(data ?? {}))}${data?.evidence?.decided_by && html`<${Evidence} of=${data.evidence} />`}</td></tr>`;

// The parts of the platform that fail their self test now: an event says only when that began.
function Failing() {
  const { value, error } = usePolled(signal => get("/status", { signal }), [], INTERVAL);
  const failing = Object.entries(value?.components ?? {}).filter(([, one]) => one?.passed === false);
  return html`<${Failure} error=${error} />
    ${failing.length > 0 && html`<div role="alert" class="failure">${failing.map(([name, { detail }]) => html`<p key=${name}>
      <strong>${visibleName(name)} fails its self test.</strong> ${visibleName(detail)}</p>`)}</div>`}`;
}

export default function Page({ route: { query } }) {
  const kind = query.get("kind") in isShown ? query.get("kind") : "";
  const after = /^\d+$/.test(query.get("after") ?? "") ? query.get("after") : null;
  const { events, connection, error } = useEvents(kind, after);
  return html`<${Failing} />
    <form class="row filters" aria-label="Filters" onSubmit=${event => event.preventDefault()}>
      <label>Show <select name="kind" value=${kind} onChange=${event => setQuery({ kind: event.target.value })}>
        ${CHOICES.map(([name, title]) => html`<option key=${name} value=${name}>${title}</option>`)}</select></label>
      <label>After event number <input name="after" inputmode="numeric" pattern="\\d*" maxlength="15" value=${after ?? ""} key=${after ?? ""}
        placeholder="from now on" onChange=${event => setQuery({ after: event.target.value.trim() })} /></label></form>
    <p role="status" class="connection" data-state=${connection}>${CONNECTION[connection]}</p>
    <${Failure} error=${error} />
    ${events.length === 0 && !error && html`<p>Nothing of that kind has happened ${after ? "since" : "while this page is open"}.</p>`}
    ${events.length > 0 && html`<div class="scroll"><table><caption class="hidden">Events, newest first</caption>
      <thead><tr>${["Number", "Time", "Type", "Evaluation", "Details"].map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${events.map(event => html`<${Row} key=${event.number} event=${event} />`)}</tbody></table></div>
      ${events.length === MAX_EVENTS && html`<p class="faint">The newest ${MAX_EVENTS}; older ones are not shown any more.</p>`}`}`;
}
