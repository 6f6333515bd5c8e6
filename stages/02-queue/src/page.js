const $ = id => document.getElementById(id);
let current = null;

async function call(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

function show(evaluation) {
  const { status, outcome, exit_code } = evaluation;
  $("state").textContent = [status, outcome, exit_code].filter(it => it != null).join(", ");
  $("output").textContent = evaluation.stdout.text + evaluation.stderr.text;
  $("cancel").disabled = ended(status);
}

const ended = status => !["queued", "running"].includes(status);

// One look at a time, every half second; the next stage has the server tell us instead.
async function follow(id) {
  current = id;
  for (;;) {
    const evaluation = await call("GET", `/eval/${id}`);
    if (current !== id) return;
    show(evaluation);
    if (ended(evaluation.status)) return;
    await new Promise(done => setTimeout(done, 500));
  }
}

const complain = error => { $("state").textContent = error.message };
$("run").onclick = () =>
  call("POST", "/eval", { code: $("code").value }).then(it => follow(it.id)).catch(complain);
$("cancel").onclick = () => call("DELETE", `/eval/${current}`).then(show).catch(complain);

async function look() {
  const queue = await call("GET", "/queue");
  $("queue").textContent = `${queue.workers_busy} of ${queue.workers} workers busy, ` +
    `${queue.depth} of ${queue.capacity} places taken`;
}
look().catch(complain);
setInterval(() => look().catch(complain), 2000);
