// What the platform does now, from its metrics. The server keeps no history of them: this tab does, while it is open.

import { html, useEffect, useState } from "/web/lib/ui.js";
import { send, Problem } from "/web/lib/api.js";
import { Chart } from "/web/lib/chart.js";
import { duration, size } from "/web/lib/format.js";
import { by, parse, quantile, total } from "/web/lib/metrics.js";
import { Facts, Failure, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { visibleName } from "/web/lib/text.js";

const INTERVAL = 2000;
const MAX_SAMPLES = 1800;
// What a rate and a percentile are over.
const WINDOW_SAMPLES = 15;

// It outlives the page, so that a look at another page leaves no gap in it.
const history = [];

async function sample(signal) {
  const response = await send("/metrics", { signal });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null), response.headers);
  const samples = parse(await response.text());
  history.push({ time: Date.now() / 1000, samples });
  if (history.length > MAX_SAMPLES) history.shift();
  return { count: history.length, time: Date.now() };
}

const ENDED = "crucible_evaluations_total";

// A point of the charts, of the reading at `at` against one a window earlier.
function point(at) {
  const { time, samples } = history[at];
  const earlier = history[Math.max(0, at - WINDOW_SAMPLES)];
  const seconds = time - earlier.time;
  // After a restart a counter begins again.
  const ended = Math.max(0, (total(samples, ENDED) ?? 0) - (total(earlier.samples, ENDED) ?? 0));
  const of = (name, share) => quantile(earlier.samples, samples, name, share);
  return {
    time,
    rate: seconds > 0 ? ended / seconds : null,
    ran: [0.5, 0.9, 0.99].map(share => of("crucible_evaluation_duration_seconds", share)),
    waited: [0.5, 0.9, 0.99].map(share => of("crucible_queue_wait_seconds", share)),
    depth: total(samples, "crucible_queue_depth"),
    busy: total(samples, "crucible_workers_busy"),
    workers: total(samples, "crucible_workers"),
    warm: total(samples, "crucible_warm_sandboxes"),
  };
}

function Outcomes({ samples }) {
  const outcomes = Object.entries(by(samples, ENDED, "outcome")).sort(([, one], [, other]) => other - one);
  const all = outcomes.reduce((sum, [, count]) => sum + count, 0);
  return html`<section aria-labelledby="outcomes"><h2 id="outcomes">Outcomes <small>since the server has started</small></h2>
    ${all === 0 ? html`<p class="faint">Nothing has ended.</p>` : html`<div class="scroll"><table>
    <thead><tr><th scope="col">Outcome</th><th scope="col" class="number">Evaluations</th><th scope="col" class="number">Share</th></tr></thead>
    <tbody>${outcomes.map(([name, count]) => html`<tr key=${name}><td>${visibleName(name)}</td><td class="number">${count}</td>
      <td class="number">${(100 * count / all).toFixed(1)} %</td></tr>`)}</tbody></table></div>`}</section>`;
}

// Everything else that is counted, as it is: there is no metric that only a scraper can see.
function All({ samples }) {
  const [isOpen, open] = useState(false);
  const shown = isOpen ? samples.filter(({ name }) => !name.endsWith("_bucket")) : [];
  const labels = pairs => Object.entries(pairs).map(([name, value]) => `${name}=${value}`).join(" ");
  return html`<details class="raw" onToggle=${event => open(event.currentTarget.open)}><summary>All metrics</summary>
    <div class="scroll"><table><thead><tr><th scope="col">Metric</th><th scope="col">Labels</th><th scope="col" class="number">Value</th></tr></thead>
    <tbody>${shown.map(({ name, labels: pairs, value }, at) => html`<tr key=${at}><td><code>${name}</code></td><td>${visibleName(labels(pairs))}</td>
      <td class="number">${value}</td></tr>`)}</tbody></table></div></details>`;
}

const seconds = value => value == null ? "—" : duration(value * 1000);

// Colours are read when a chart is made: another scheme makes it again.
function useScheme() {
  const [scheme, set] = useState(0);
  useEffect(() => {
    const changed = () => set(count => count + 1);
    const query = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(changed);
    query.addEventListener("change", changed);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => { query.removeEventListener("change", changed); observer.disconnect(); };
  }, []);
  return scheme;
}

export default function Page() {
  const { value, error } = usePolled(sample, [], INTERVAL);
  const scheme = useScheme();
  if (!value) return error ? html`<${Failure} error=${error} />` : html`<p role="status">Loading…</p>`;
  const points = history.map((_, at) => point(at));
  const now = points.at(-1);
  const { samples } = history.at(-1);
  const column = pick => points.map(point => pick(point) ?? null);
  const data = (...picks) => [column(({ time }) => time), ...picks.map(column)];
  const shares = ["median", "90 %", "99 %"];
  const bytes = total(samples, "crucible_storage_database_bytes");
  return html`<${Failure} error=${error} />
    <p class="faint">Read every ${INTERVAL / 1000} s while this page is open, ${points.length} times so far; last
      at <${Time} at=${new Date(value.time).toISOString()} />. Rates and percentiles are over ${WINDOW_SAMPLES * INTERVAL / 1000} s. Axes are UTC.</p>
    <${Facts} of=${[
      ["Ended", html`<span data-metric="ended">${total(samples, ENDED) ?? 0}</span>`],
      ["Throughput", now.rate == null ? "—" : `${now.rate.toFixed(2)} per second`],
      ["Running, median and 99 %", `${seconds(now.ran[0])}, ${seconds(now.ran[2])}`],
      ["Waiting, median and 99 %", `${seconds(now.waited[0])}, ${seconds(now.waited[2])}`],
      ["Queue", `${now.depth ?? "—"} of ${total(samples, "crucible_queue_capacity") ?? "—"}`],
      ["Workers busy", `${now.busy ?? "—"} of ${now.workers ?? "—"}`],
      ["Warm sandboxes", now.warm == null ? undefined : Object.entries(by(samples, "crucible_warm_sandboxes", "environment"))
        .map(([name, count]) => `${visibleName(name)} ${count}`).join(", ")],
      ["Database and its log", bytes == null ? undefined : `${size(bytes)}, ${size(total(samples, "crucible_storage_wal_bytes") ?? 0)}`],
    ]} />
    <div class="charts" key=${scheme}>
      <${Chart} title="Throughput, per second" series=${["ended"]} data=${data(({ rate }) => rate)} format=${value => value.toFixed(1)} />
      <${Chart} title="Time running" series=${shares} data=${data(...[0, 1, 2].map(at => ({ ran }) => ran[at]))} format=${seconds} />
      <${Chart} title="Time waiting" series=${shares} data=${data(...[0, 1, 2].map(at => ({ waited }) => waited[at]))} format=${seconds} />
      <${Chart} title="Queue and workers" series=${["waiting", "busy", "workers"]} data=${data(({ depth }) => depth, ({ busy }) => busy, ({ workers }) => workers)} />
      ${now.warm != null && html`<${Chart} title="Warm sandboxes" series=${["ready"]} data=${data(({ warm }) => warm)} />`}
    </div>
    <${Outcomes} samples=${samples} />
    <${All} samples=${samples} />`;
}
