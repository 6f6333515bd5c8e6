// Checks workflow files: actionlint.mjs FILE...; a line for each error, status 1 when there is one.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { createLinter } = createRequire("/opt/crucible/cloud/")("actionlint");
const lint = await createLinter();
let errors = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, kind, message } of lint(readFileSync(file, "utf8"), file)) {
    // The package is older than some runners; a forge refuses a label that it does not have.
    if (kind === "runner-label") continue;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    errors += 1;
  }
}
process.exit(errors === 0 ? 0 : 1);
