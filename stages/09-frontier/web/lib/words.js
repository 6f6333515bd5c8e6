// What the fields of an evaluation mean, in sentences.

import { duration, size } from "./format.js";

const OUTCOMES = {
  exited: ({ exit_code }) => `The program ended by itself, with exit code ${exit_code}.`,
  signaled: ({ signal }) => `The program died of the signal ${signal}.`,
  wall_time_exceeded: ({ limits }) => `It was ended after ${limits.timeout_seconds} s, its limit for wall-clock time.`,
  cpu_time_exceeded: ({ limits }) => `It was ended after ${limits.cpu_seconds} s of processor time, its limit.`,
  memory_exceeded: ({ limits }) => `It was ended when it wanted more than ${size(limits.memory_bytes)} of memory.`,
  pids_exceeded: ({ limits }) => `It wanted more than ${limits.pids} processes and threads at one moment.`,
  output_exceeded: ({ limits }) => `It was ended when a stream of its output was over ${size(limits.output_bytes)}.`,
  disk_exceeded: ({ limits }) => `It wanted more than ${size(limits.disk_bytes)} of scratch space.`,
  queue_time_exceeded: () => "It waited for a worker longer than its submission allows, and has not run.",
  engine_error: () => "The platform could not run it. This is no fault of the program.",
  worker_lost: () => "The server ended while it ran. It may have done anything up to that moment.",
  cancelled: () => "It was cancelled.",
};

const DECIDED_BY = {
  exit_status: "the exit status of its process",
  wait_status: "the status that the kernel gave for its process",
  "container.exit_code": "the exit code of its container",
  wall_clock: "the clock of the platform",
  output_bytes: "the count of bytes that it has written",
  "pids.events": "the control group's counter of refused processes",
  "memory.events": "the control group's counter of memory events",
  "cpu.stat": "the control group's counter of processor time",
  cancelled: "a request to cancel it, while it ran",
  cancelled_before_start: "a request to cancel it, before it ran",
  queue_timeout: "the time that it had waited",
  restart: "the start of a server that found it running",
  engine: "an error of the engine",
  proc_stat: "the processor time in /proc",
  smaps_rollup: "the memory in /proc",
};

export function sentence(evaluation) {
  const { status, outcome, evidence, timing } = evaluation;
  if (status === "queued") return "It waits for a worker.";
  if (status === "running") return "It runs.";
  const how = OUTCOMES[outcome]?.(evaluation) ?? `It ended as ${outcome}.`;
  const by = evidence?.decided_by;
  const waited = timing.queue_wait_ms ? ` It had waited ${duration(timing.queue_wait_ms)} for a worker.` : "";
  return `${how}${by ? ` That was decided by ${DECIDED_BY[by] ?? "the counter"} (${by}).` : ""}${waited}`;
}

// The counters that were read beside it, as pairs.
export const counters = ({ decided_by, ...others } = {}) => Object.entries(others);

// Each limit beside what was used of it: { name, limit, used, text }. What is not known is null.
export function limitsBesideUsage({ limits, usage = {}, stdout, stderr }) {
  const output = Math.max(stdout?.bytes_total ?? 0, stderr?.bytes_total ?? 0);
  const row = (name, limit, used, show) =>
    ({ name, share: used == null ? null : Math.min(1, used / limit), limit: show(limit), used: used == null ? null : show(used) });
  const count = number => String(number);
  return [
    row("Wall-clock time", limits.timeout_seconds * 1000, usage.wall_ms, duration),
    row("Processor time", limits.cpu_seconds * 1000, usage.cpu_ms, duration),
    row("Memory", limits.memory_bytes, usage.memory_peak_bytes, size),
    row("Processes and threads", limits.pids, usage.pids_peak, count),
    row("Output, of each stream", limits.output_bytes, output, size),
    row("Scratch space", limits.disk_bytes, null, size),
    row("Open files, of each process", limits.open_files, null, count),
  ];
}
