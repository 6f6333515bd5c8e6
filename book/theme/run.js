// A button below each program of a chapter: sends it to the reader's own stage, and shows what comes back.
//
// The stage decides whether it answers this page (`--allow-origin`). The address has to be of this machine.
// Without keys a stage serves this machine alone, so that the page needs none. A key that is typed is kept in
// its field, in memory: it goes to that address only, and is gone with the page. What a program prints is shown
// as text.
"use strict";
(() => {
  const POLL_INTERVAL = 400;
  const MAX_POLL_INTERVAL = 3000;
  const LOOPBACK = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;
  const BOOK = "http://127.0.0.1:3000";

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const code = (text) => element("code", { textContent: text });
  const paragraph = (...children) => element("p", {}, ...children);
  const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  // Characters that change the direction of writing are made visible, as on a stage's command line.
  const harmless = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

  // "open" to this page, "closed" to it, or "none": a request whose answer may not be read still tells
  // whether there is one.
  const reach = async (address) => {
    try {
      await fetch(`${address}/queue`, { cache: "no-store" });
      return "open";
    } catch {
      try {
        await fetch(`${address}/queue`, { mode: "no-cors", cache: "no-store" });
        return "closed";
      } catch {
        return "none";
      }
    }
  };

  const help = (state, stage, address) => {
    if (location.origin === "null" || location.protocol === "file:") {
      return [
        paragraph("This page was opened from a file. A browser gives all such pages the same origin, ", code("null"),
          ", so that a stage cannot allow this one alone. Serve the book, and open it at ", code(BOOK), ":"),
        element("pre", {}, code("just book-serve")),
      ];
    }
    const listen = address.endsWith(`:80${stage.number}`) ? "" : ` --listen ${address.replace("http://", "")}`;
    const what = state === "none"
      ? paragraph(`No stage answers at ${address}. Start it at the root of the repository, so that this page may use it, and press again:`)
      : paragraph(`Something listens at ${address} and does not allow this page. If it is stage ${stage.number}, stop it, start it so, and press again:`);
    const command = `cargo run -p ${stage.package} --${listen} --allow-origin ${location.origin}`;
    const shown = [what, element("pre", { tabIndex: 0 }, code(command))];
    if (stage.needsRoot) shown.push(paragraph("Start it as root: it drives the sandboxes."));
    if (stage.hasKeys) {
      shown.push(paragraph("As long as nobody has made a key, it serves this machine alone and asks for none. If you have made keys, put one with the scopes ",
        code("submit"), " and ", code("read"), " below ", element("em", { textContent: "Where" }), "."));
    }
    return shown;
  };

  const refusedKey = (stage, isGiven) => [
    paragraph(isGiven ? "The stage does not know this key." : "The stage has keys, and wants one."),
    paragraph("Put one into the field above. The field keeps it in memory only. This makes one, which is printed once; with your options in place of the defaults, such as ",
      code("--data-dir"), ", if the stage has any:"),
    element("pre", { tabIndex: 0 }, code(`cargo run -p ${stage.package} -- keys create --name book --scope submit --scope read`)),
  ];

  const problem = async (response) => {
    const body = await response.json().catch(() => ({}));
    const text = `The stage refused the program: ${response.status} ${body.title ?? ""}. ${body.detail ?? ""}`;
    return [paragraph(text)];
  };

  const stream = (name, output) => {
    if (!output?.text) return [];
    const text = output.encoding === "utf8" ? output.text : `${output.bytes_total} bytes that are no text`;
    const cut = output.truncated ? `, the first part of ${output.bytes_total} bytes` : "";
    const shown = element("pre", { className: "output", tabIndex: 0 }, code(harmless(text)));
    shown.dataset.stream = name;
    return [element("p", { className: "stream", textContent: `${name}${cut}` }), shown];
  };

  const summary = (evaluation) => {
    const { status, outcome, exit_code, signal, evidence, sandbox, usage, error } = evaluation;
    const parts = [outcome ?? status];
    if (exit_code !== null && exit_code !== undefined) parts.push(`exit code ${exit_code}`);
    if (signal) parts.push(signal);
    if (evidence) parts.push(`decided by ${evidence.decided_by}`);
    if (usage) parts.push(`${usage.wall_ms} ms`);
    if (sandbox) parts.push(`in ${[sandbox.engine, sandbox.runtime].filter(Boolean).join("/")}`);
    if (error) parts.push(error);
    return [element("p", { className: "outcome", textContent: parts.join(", ") }),
      ...stream("stdout", evaluation.stdout), ...stream("stderr", evaluation.stderr)];
  };

  const evaluate = async (stage, address, key, submission, show) => {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const body = JSON.stringify(submission);
    const json = { ...headers, "Content-Type": "application/json" };
    const accepted = await fetch(`${address}/eval`, { method: "POST", headers: json, body });
    if (!accepted.ok) {
      show(accepted.status === 401 ? refusedKey(stage, Boolean(key)) : await problem(accepted));
      return accepted.status;
    }
    let evaluation = await accepted.json();
    for (let wait = POLL_INTERVAL; evaluation.outcome === null; wait = Math.min(wait * 1.3, MAX_POLL_INTERVAL)) {
      show(summary(evaluation));
      await delay(wait);
      const answer = await fetch(`${address}/eval/${evaluation.id}`, { headers, cache: "no-store" });
      if (answer.ok) {
        evaluation = await answer.json();
      } else if (answer.status === 429) {
        await delay(1000 * Number(answer.headers.get("retry-after") ?? 1));
      } else {
        show(await problem(answer));
        return answer.status;
      }
    }
    show(summary(evaluation));
    return 200;
  };

  for (const caption of document.querySelectorAll("p.file[data-stage]")) {
    const { stage: number, package: name, timeout } = caption.dataset;
    const stage = { number, package: name, needsRoot: "root" in caption.dataset, hasKeys: "keys" in caption.dataset };
    const program = caption.nextElementSibling;
    const submission = { code: program.querySelector("code").textContent };
    if (timeout) submission.timeout_seconds = Number(timeout);
    const isDangerous = "unsandboxed" in caption.dataset;
    const button = element("button", { textContent: `Run on stage ${stage.number}` });
    const field = element("input", { type: "url", value: `http://127.0.0.1:80${stage.number}`, autocomplete: "off" });
    const key = element("input", { type: "password", autocomplete: "off" });
    const settings = element("details", {}, element("summary", { textContent: "Where" }),
      element("label", {}, "Address of the stage ", field));
    if (stage.hasKeys) settings.append(element("label", {}, "Key, if it has any ", key));
    // A screen reader announces the status when it changes, and not the output each time it grows.
    const status = element("div");
    status.setAttribute("role", "status");
    const output = element("div");
    const result = element("div", { className: "result" }, status, output);
    const form = element("form", { className: "run" }, button, settings, result);
    // A chapter and its quiz may show the same program.
    const quiz = caption.closest(".quiz")?.id;
    form.setAttribute("aria-label", `Run ${caption.textContent}${quiz ? `, ${quiz}` : ""}`);
    let isConfirmed = !isDangerous;

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const show = ([first, ...rest]) => {
        if (status.textContent !== first.textContent) status.replaceChildren(first);
        output.replaceChildren(...rest);
      };
      const address = field.value.trim().replace(/\/$/, "");
      if (!LOOPBACK.test(address)) {
        settings.open = true;
        show([paragraph("Give an address of this machine, such as ", code(`http://127.0.0.1:80${stage.number}`), ".")]);
        return;
      }
      if (!isConfirmed) {
        isConfirmed = true;
        button.textContent = "Run it on this machine, as me";
        show([paragraph(`Stage ${stage.number} isolates nothing: the program runs on this machine, with all the rights of the user who started the stage. Read it first, and press again.`)]);
        return;
      }
      button.disabled = true;
      show([paragraph(`Looking for stage ${stage.number} at ${address} ...`)]);
      try {
        const state = await reach(address);
        if (state !== "open") {
          show(help(state, stage, address));
        } else if ((await evaluate(stage, address, key.value.trim(), submission, show)) === 401) {
          settings.open = true;
          key.focus();
        }
      } catch (error) {
        show([paragraph(`The connection to the stage was lost: ${error.message}`)]);
      }
      button.disabled = false;
    });
    form.addEventListener("keydown", (event) => event.stopPropagation());
    program.after(form);
  }
})();
