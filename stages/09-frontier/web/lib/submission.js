// A submission, and what the contract of this server allows in one.

import { call, get } from "./api.js";
import { remember } from "./programs.js";

// Submits, and gives the id. A second try after a lost answer does not run the program twice.
export async function submit(submission) {
  const idempotency = `"${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}"`;
  const options = { body: submission, headers: { "Idempotency-Key": idempotency } };
  const { id } = await call("POST", "/eval", options).catch(error => {
    if (error.status !== 0) throw error;
    return new Promise(done => setTimeout(done, 1000)).then(() => call("POST", "/eval", options));
  });
  remember(id, submission);
  return id;
}

let contract = null;

async function read() {
  contract ??= get("/openapi.json");
  try { return await contract; } catch (error) { contract = null; throw error; }
}

// The schema of each member of a submission: its bounds, its default, its values.
export const bounds = async () => (await read()).components.schemas.Submission.properties;

// The environments, or none where the server has none, or where this key may not see them.
export async function environments(signal) {
  if (!(await read()).paths["/environments"]) return [];
  try {
    const { items } = await get("/environments", { signal });
    return items;
  } catch (error) {
    if (error.status === 403) return [];
    throw error;
  }
}
