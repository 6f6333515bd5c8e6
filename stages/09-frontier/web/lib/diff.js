// Two texts line by line: the longest common subsequence, by the method of Myers. It takes time by the number of
// differences, and is given up beyond a bound: then the middle is one block removed and one added.

const MAX_DIFFERENCES = 2000;

// [{ change: "same" | "removed" | "added", left, right, text }], with the numbers of the lines from 1 on.
export function lineDiff(left, right) {
  const [a, b] = [left.split("\n"), right.split("\n")];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const rows = [];
  const same = (i, j) => rows.push({ change: "same", left: i + 1, right: j + 1, text: a[i] });
  const removed = i => rows.push({ change: "removed", left: i + 1, text: a[i] });
  const added = j => rows.push({ change: "added", right: j + 1, text: b[j] });
  for (let at = 0; at < start; at += 1) same(at, at);
  for (const [change, i, j] of middle(a.slice(start, a.length - end), b.slice(start, b.length - end))) {
    if (change === "same") same(start + i, start + j);
    else if (change === "removed") removed(start + i);
    else added(start + j);
  }
  for (let at = end; at > 0; at -= 1) same(a.length - at, b.length - at);
  return rows;
}

function middle(a, b) {
  const trace = shortestEdit(a, b);
  if (!trace) return [...a.map((_, i) => ["removed", i]), ...b.map((_, j) => ["added", null, j])];
  const edits = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const furthest = trace[d];
    const k = x - y;
    const isDown = k === -d || (k !== d && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
    const previousK = isDown ? k + 1 : k - 1;
    const previousX = d === 0 ? 0 : furthest.get(previousK);
    const previousY = d === 0 ? 0 : previousX - previousK;
    while (x > previousX && y > previousY) { x -= 1; y -= 1; edits.push(["same", x, y]); }
    if (d > 0) edits.push(isDown ? ["added", null, previousY] : ["removed", previousX]);
    [x, y] = [previousX, previousY];
  }
  return edits.reverse();
}

// For each number of differences, how far each diagonal had got before it. None when there are too many.
function shortestEdit(a, b) {
  const furthest = new Map([[1, 0]]);
  const trace = [];
  for (let d = 0; d <= Math.min(a.length + b.length, MAX_DIFFERENCES); d += 1) {
    trace.push(new Map([...furthest].filter(([k]) => Math.abs(k) <= d + 1)));
    for (let k = -d; k <= d; k += 2) {
      const isDown = k === -d || (k !== d && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
      let x = isDown ? furthest.get(k + 1) ?? 0 : furthest.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return trace;
    }
  }
  return null;
}
