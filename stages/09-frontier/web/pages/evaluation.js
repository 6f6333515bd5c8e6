// One evaluation, while it waits and runs and after it has ended.

import { html, useEffect, useMemo, useRef, useState } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { curl } from "/web/lib/curl.js";
import { addTo, isFinal } from "/web/lib/events.js";
import { submitted } from "/web/lib/programs.js";
import { go, href } from "/web/lib/router.js";
import { follow } from "/web/lib/stream.js";
import { Tail } from "/web/lib/tail.js";
import { visibleName } from "/web/lib/text.js";
import { CopyButton, Failure, Labels, Status, useLoaded } from "/web/lib/parts.js";
import { Artifacts } from "/web/lib/artifacts.js";
import { Evidence, LimitsAndUsage, Output, Raw, Summary, Timeline } from "/web/lib/evaluation.js";
import { submit } from "/web/lib/submission.js";

const CONNECTION = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Disconnected; trying again. Nothing is lost: it goes on where it was.",
  ended: "",
};

// What is known of an evaluation: { evaluation, attempts, connection, isMissing, error }. The events are read from the
// first one on, and are followed until the last one.
function useEvaluation(id, tail) {
  const [state, set] = useState({ attempts: [], connection: "connecting" });
  useEffect(() => {
    const stop = new AbortController();
    const change = changes => stop.signal.aborted || set(old => ({ ...old, ...changes }));
    const attempts = [];
    let isDrawn = true;
    const draw = () => {
      if (isDrawn) requestAnimationFrame(() => { isDrawn = true; change({ attempts: [...attempts] }); });
      isDrawn = false;
    };
    const load = async () => {
      const evaluation = await get(`/eval/${encodeURIComponent(id)}`, { signal: stop.signal });
      if (evaluation.outcome !== null) tail.close();
      change({ evaluation, error: null });
    };
    const run = async () => {
      await load();
      await follow(`/eval/${id}/events`, {
        signal: stop.signal,
        isLast: isFinal,
        onState: connection => change({ connection }),
        onEvent: ({ type, data }) => {
          const event = JSON.parse(data);
          addTo(attempts, { ...event, type });
          draw();
          if (type === "evaluation.progress") tail.take(event.data);
          if (type === "stream.missed") change({ isMissing: true });
          if (type === "evaluation.started" && event.data.attempt > 1) tail.restart(event.data.attempt);
          if (type === "evaluation.started") load().catch(error => change({ error }));
        },
      });
      if (!stop.signal.aborted) await load();
    };
    run().catch(error => stop.signal.aborted || change({ error, connection: "ended" }));
    return () => stop.abort();
  }, [id]);
  return state;
}

// The output while the program runs, both streams in the order in which they arrived.
function Live({ tail, connection, isMissing }) {
  const element = useRef(null);
  useEffect(() => tail.attach(element.current), []);
  return html`<section aria-labelledby="live"><h2 id="live">Output</h2>
    <p role="status" class="connection" data-state=${connection}>${CONNECTION[connection]}</p>
    ${isMissing && html`<p class="faint">The beginning is no longer in the stream; it is here when the program has ended.</p>`}
    <pre class="output" ref=${element} tabindex="0" role="region" aria-label="Output so far"></pre></section>`;
}

function Actions({ id, evaluation, onError }) {
  const [isBusy, setBusy] = useState(false);
  const { value: program, error } = useLoaded(signal => submitted(id, signal), [id]);
  const isEnded = evaluation.outcome !== null;
  const act = action => async () => {
    setBusy(true);
    onError(null);
    try { await action(); } catch (error) { onError(error); }
    setBusy(false);
  };
  const again = act(async () => go(href("eval", await submit(program))));
  return html`<div class="row actions">
    ${!isEnded && html`<button type="button" disabled=${isBusy} onClick=${act(() => call("DELETE", `/eval/${id}`))}>Cancel</button>`}
    ${program && html`<button type="button" disabled=${isBusy} onClick=${again}>Run again</button>
      <a class="button" href=${href("submit", { from: id })}>Edit and run</a>`}
    <a class="button" href=${href("compare", { a: id })}>Compare with…</a>
    <span><${CopyButton} text=${id}>Copy id<//></span>
    <span><${CopyButton} text=${() => curl("GET", `/eval/${id}`)}>Copy as curl<//></span>
    ${program && html`<span><${CopyButton} text=${() => curl("POST", "/eval", program)}>Copy submission as curl<//></span>`}
    ${program === null && html`<small>It cannot be run again from here: this server stores no programs.</small>`}
    <${Failure} error=${error} />
  </div>`;
}

export default function Page({ route }) {
  const id = route.rest[0] ?? "";
  return html`<${One} key=${id} id=${id} />`;
}

function One({ id }) {
  const tail = useMemo(() => new Tail(), []);
  useEffect(() => () => tail.close(), []);
  const [failure, fail] = useState(null);
  const { evaluation, attempts, connection, isMissing, error } = useEvaluation(id, tail);
  useEffect(() => { if (evaluation) document.title = `${evaluation.outcome ?? evaluation.status} · ${id} · Crucible`; }, [evaluation]);
  if (!evaluation) return error ? html`<${Failure} error=${error} />` : html`<p role="status">Loading…</p>`;
  const isEnded = evaluation.outcome !== null;
  return html`
    <p class="head"><${Status} of=${evaluation} /> <code>${id}</code> <${Labels} labels=${evaluation.labels} /></p>
    <${Failure} error=${failure ?? error} />
    <${Actions} id=${id} evaluation=${evaluation} onError=${fail} />
    <${Summary} evaluation=${evaluation} />
    ${evaluation.error && html`<p class="failure">${visibleName(evaluation.error)}</p>`}
    ${isEnded
      ? html`<${Output} name="Standard output" output=${evaluation.stdout} id=${`${id}-stdout`} />
             <${Output} name="Standard error" output=${evaluation.stderr} id=${`${id}-stderr`} />`
      : html`<${Live} tail=${tail} connection=${connection} isMissing=${isMissing} />`}
    ${isEnded && html`<${Artifacts} id=${id} />`}
    <${LimitsAndUsage} evaluation=${evaluation} />
    <${Timeline} attempts=${attempts} />
    ${isEnded && html`<${Evidence} evaluation=${evaluation} />`}
    <${Raw} value=${evaluation} />`;
}
