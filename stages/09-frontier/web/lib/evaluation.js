// The parts of the page of one evaluation.

import { html, useState } from "./ui.js";
import { duration, size, utc } from "./format.js";
import { bytes, decoded, visible, visibleName } from "./text.js";
import { counters, limitsBesideUsage, sentence } from "./words.js";
import { CopyButton, Facts, Time } from "./parts.js";
import { save } from "./save.js";

export function Summary({ evaluation }) {
  const { timing, attempt, sandbox, usage, environment } = evaluation;
  return html`<p>${sentence(evaluation)}</p>
    <${Facts} of=${[
      ["Submitted", html`<${Time} at=${timing.submitted_at} />`],
      ["Started", timing.started_at && html`<${Time} at=${timing.started_at} />`],
      ["Ended", timing.finished_at && html`<${Time} at=${timing.finished_at} />`],
      ["Waited", timing.queue_wait_ms === undefined ? undefined : duration(timing.queue_wait_ms)],
      ["Ran", usage && duration(usage.wall_ms)],
      ["Attempt", attempt],
      ["Environment", environment === undefined ? undefined : visibleName(environment?.name ?? environment)],
      ["Sandbox", [sandbox.engine, sandbox.runtime, sandbox.runtime_version].filter(Boolean).join(" / ")],
      ["Image", sandbox.image_digest && html`<code title=${sandbox.image_digest}>${sandbox.image_digest.slice(0, 19)}…</code>`],
    ]} />`;
}

const SHOWN_CHARACTERS = 200_000;

export function Output({ name, output, id }) {
  const [isWhole, showWhole] = useState(false);
  const text = decoded(output);
  const isCut = !isWhole && text.length > SHOWN_CHARACTERS;
  const notes = [
    size(output.bytes_total),
    output.encoding === "base64" && "not all of it is text",
    output.truncated && "what was over the limit is not stored",
  ].filter(Boolean).join("; ");
  if (!output.bytes_total) return html`<h2>${name}</h2><p class="faint">Nothing.</p>`;
  return html`<section aria-labelledby=${id}><h2 id=${id}>${name} <small>${notes}</small></h2>
    <pre class="output" tabindex="0" role="region" aria-label=${name}>${visible(isCut ? text.slice(0, SHOWN_CHARACTERS) : text)}</pre>
    <div class="row">
      ${isCut && html`<button type="button" onClick=${() => showWhole(true)}>Show all of it</button>`}
      <span><${CopyButton} text=${text}>Copy<//></span>
      <button type="button" onClick=${() => save(bytes(output), `${id}.txt`)}>Save</button>
    </div></section>`;
}

export function LimitsAndUsage({ evaluation }) {
  return html`<section aria-labelledby="limits"><h2 id="limits">Limits and usage</h2><div class="scroll"><table>
    <thead><tr><th scope="col">Limit</th><th scope="col" class="number">Used</th><th scope="col" class="number">Of</th><th scope="col">Share</th></tr></thead>
    <tbody>${limitsBesideUsage(evaluation).map(({ name, used, limit, share }) => html`<tr key=${name}>
      <th scope="row">${name}</th><td class="number">${used ?? html`<span class="absent">${evaluation.outcome === null ? "not yet" : "not measured"}</span>`}</td>
      <td class="number">${limit}</td>
      <td>${share !== null && html`<meter min="0" max="1" high="0.9" value=${share} aria-label=${`${name}: share of its limit`}>
        ${Math.round(share * 100)} %</meter> <span class="faint">${Math.round(share * 100)} %</span>`}</td></tr>`)}
    </tbody></table></div></section>`;
}

const MAX_ROWS = 200;

// The clock of each row is what has passed since the first event.
export function Timeline({ attempts }) {
  const [isWhole, showWhole] = useState(false);
  const first = Date.parse(attempts[0]?.rows[0]?.time);
  const since = time => `+${duration(Date.parse(time) - first)}`;
  const words = row => row.type === "evaluation.progress"
    ? `output, ${row.count} ${row.count === 1 ? "event" : "events"}, until ${since(row.until)}` : visibleName(row.words);
  return html`<section aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>
    ${attempts.length === 0 && html`<p class="faint">No events are stored.</p>`}
    ${attempts.map(({ number, rows }, index) => html`<section key=${index} aria-label=${`Attempt ${number}`}>
      ${attempts.length > 1 && html`<h3>Attempt ${number}</h3>`}
      <ol class="timeline">${(isWhole ? rows : rows.slice(0, MAX_ROWS)).map((row, index) => html`<li key=${index} data-type=${row.type}>
        <time datetime=${row.time} title=${utc(row.time)}>${since(row.time)}</time>
        <code>${row.type}</code> <span>${words(row)}</span></li>`)}</ol>
      ${rows.length > MAX_ROWS && !isWhole && html`<button type="button" onClick=${() => showWhole(true)}>
        Show ${rows.length - MAX_ROWS} more</button>`}</section>`)}</section>`;
}

export function Evidence({ evaluation: { evidence } }) {
  const others = counters(evidence);
  if (others.length === 0) return null;
  return html`<section aria-labelledby="evidence"><h2 id="evidence">Evidence</h2>
    <p class="faint">Every counter that was read at the end, whether or not it decided.</p>
    <div class="scroll"><table><thead><tr><th scope="col">Counter</th><th scope="col">Value</th></tr></thead>
    <tbody>${others.map(([name, value]) => html`<tr key=${name}><th scope="row"><code>${visibleName(name)}</code></th>
      <td>${visibleName(value)}</td></tr>`)}</tbody></table></div></section>`;
}

// JSON as it came. It is made when it is opened: outputs are in it.
export function Raw({ value }) {
  const [isOpen, open] = useState(false);
  const text = isOpen ? JSON.stringify(value, null, 2) : "";
  return html`<details class="raw" onToggle=${event => open(event.currentTarget.open)}><summary>Raw JSON</summary>
    ${isOpen && html`<span><${CopyButton} text=${text}>Copy<//></span>
    <pre tabindex="0" role="region" aria-label="Raw JSON">${visible(text)}</pre>`}</details>`;
}
