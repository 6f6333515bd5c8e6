// Times, sizes and durations for people.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function size(count) {
  if (count == null) return "unknown";
  let unit = 0;
  for (; count >= 1024 && unit < UNITS.length - 1; unit += 1) count /= 1024;
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(milliseconds) {
  if (milliseconds == null) return "unknown";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const two = number => String(number).padStart(2, "0");

// `2026-11-27 11:20:03Z`
export const utc = time => new Date(time).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");

// The same moment on the clock of whoever looks, with the offset of that clock.
export function local(time) {
  const at = new Date(time);
  const offset = -at.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${zone}`;
}
