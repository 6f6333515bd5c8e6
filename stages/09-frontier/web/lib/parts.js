// Parts that several pages have.

import { html, useEffect, useState } from "./ui.js";
import { local, utc } from "./format.js";
import { visibleName } from "./text.js";

// A moment: UTC, and the local time beside it where there is room, and for screen readers.
export const Time = ({ at }) => at
  ? html`<time datetime=${at} title=${`${local(at)} here`}>${utc(at)} <span class="local">${local(at)}</span></time>`
  : html`<span class="absent">—</span>`;

// How an evaluation ended, or where it is. Its colour is never all that says so.
export const Status = ({ of: { status, outcome, exit_code, signal } }) => {
  const how = outcome && outcome !== status ? outcome : status;
  const kind = status === "completed" && exit_code !== 0 ? "nonzero" : status;
  const detail = exit_code != null ? ` ${exit_code}` : signal != null ? ` ${signal}` : "";
  return html`<span class="status" data-kind=${kind}>${how}${detail}</span>`;
};

export const Failure = ({ error }) => error ? html`<p role="alert" class="failure">
  ${visibleName(error.message)}${error.retryAfter ? ` Try again in ${error.retryAfter} s.` : ""}
  ${error.request_id && html` <small>request ${error.request_id}</small>`}</p>` : null;

export const Labels = ({ labels }) => html`<span class="labels">${Object.entries(labels ?? {}).map(([name, value]) =>
  html`<span class="label" key=${name}><bdi>${visibleName(name)}</bdi>: <bdi>${visibleName(value)}</bdi></span>`)}</span>`;

// A name and its values: <Facts of=${[["Exit code", 0], …]} />. What is undefined is left out.
export const Facts = ({ of }) => html`<dl class="facts">${of.filter(([, value]) => value !== undefined).map(([name, value]) =>
  html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

export function CopyButton({ text, children }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      say("copied");
    } catch { say("the browser does not allow it"); }
  };
  return html`<button type="button" onClick=${copy}>${children}</button><span role="status" class="said">${said}</span>`;
}

// What `load(signal)` gives: { value, error, reload }. It is loaded again when one of `inputs` changes.
export function useLoaded(load, inputs) {
  const [state, set] = useState({});
  const [round, again] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    load(stop.signal).then(
      value => stop.signal.aborted || set({ value }),
      error => stop.signal.aborted || set(old => ({ value: old.value, error })));
    return () => stop.abort();
  }, [...inputs, round]);
  return { ...state, reload: () => again(it => it + 1) };
}
