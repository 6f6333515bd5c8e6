// The text of OpenMetrics, and what can be computed from two readings of it.

// [{ name, labels, value }] of the lines that have a value.
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const [, name, , labels = "", value] = line.match(/^([a-zA-Z_:][\w:]*)(\{(.*)\})? (\S+)/) ?? [];
    if (!name) continue;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    const unescape = text => text.replace(/\\(.)/g, (_, character) => character === "n" ? "\n" : character);
    samples.push({ name, labels: Object.fromEntries(pairs.map(([, key, text]) => [key, unescape(text)])), value: Number(value.replace(/^\+Inf$/, "Infinity")) });
  }
  return samples;
}

const of = (samples, name) => samples.filter(sample => sample.name === name);

// The sum of a metric over all of its labels; null where there is no such metric.
export const total = (samples, name) => {
  const found = of(samples, name);
  return found.length ? found.reduce((sum, { value }) => sum + value, 0) : null;
};

// The values of a metric by one of its labels.
export function by(samples, name, label) {
  const sums = {};
  for (const { labels, value } of of(samples, name)) sums[labels[label]] = (sums[labels[label]] ?? 0) + value;
  return sums;
}

// The cumulative counts of a histogram by their upper bounds, over all other labels: [[bound, count]].
function buckets(samples, name) {
  const sums = new Map();
  for (const { labels, value } of of(samples, `${name}_bucket`)) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  return [...sums].sort(([one], [other]) => one - other);
}

// The quantile of what a histogram counted between two readings, interpolated within its bucket as Prometheus does it.
// Null where nothing was counted.
export function quantile(before, after, name, share) {
  const earlier = new Map(buckets(before, name));
  const counts = buckets(after, name).map(([bound, count]) => [bound, Math.max(0, count - (earlier.get(bound) ?? 0))]);
  const all = counts.at(-1)?.[1];
  if (!all) return null;
  const rank = share * all;
  const at = counts.findIndex(([, count]) => count >= rank);
  const [bound, count] = counts[at];
  const [lower, below] = counts[at - 1] ?? [0, 0];
  if (bound === Infinity) return lower;
  return lower + (bound - lower) * ((rank - below) / Math.max(1, count - below));
}
