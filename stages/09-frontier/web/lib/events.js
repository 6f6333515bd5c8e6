// The events of an evaluation as a timeline: by attempt, and with the many that report output folded into one.

export const FINAL = ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"];
export const isFinal = event => FINAL.includes(event.type);

const WORDS = {
  "evaluation.queued": () => "accepted, and waits",
  "evaluation.started": ({ queue_wait_ms, sandbox }) =>
    `started in ${[sandbox?.engine, sandbox?.runtime].filter(Boolean).join("/")} after a wait of ${queue_wait_ms ?? 0} ms`,
  "resource.limit_exceeded": data => `over a limit: ${data.limit ?? data.outcome ?? ""}`,
  "security.violation": () => "a violation of security",
  "stream.missed": () => "events are missing here: they are no longer stored",
  "evaluation.completed": () => "ended",
  "evaluation.failed": ({ outcome }) => `ended by the platform: ${outcome}`,
  "evaluation.cancelled": () => "cancelled",
};

// Adds `event` to `attempts`, a list of { number, rows }, and returns the list. Rows are
// { type, time, words, count, bytes }.
export function addTo(attempts, { type, time, data }) {
  const last = attempts.at(-1);
  // What waits again after a lost attempt is the next one.
  const waiting = type === "evaluation.queued" && last?.hasStarted ? last.number + 1 : last?.number ?? 1;
  const number = type === "evaluation.started" ? data.attempt ?? waiting : waiting;
  const isNew = !last || (number !== last.number && last.hasStarted);
  const attempt = isNew ? { number, rows: [], hasStarted: false } : last;
  if (isNew) attempts.push(attempt);
  attempt.number = number;
  attempt.hasStarted ||= type === "evaluation.started";
  if (type === "evaluation.progress") {
    const row = attempt.rows.at(-1);
    if (row?.type === type) Object.assign(row, { count: row.count + 1, until: time });
    else attempt.rows.push({ type, time, until: time, count: 1 });
  } else {
    attempt.rows.push({ type, time, words: (WORDS[type] ?? (() => type))(data ?? {}), data });
  }
  return attempts;
}
