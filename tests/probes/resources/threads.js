const { Worker } = require("worker_threads");
const limits = { maxOldGenerationSizeMb: 4, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 };
let last;
for (let count = 0; count < AMOUNT && !last; count += 1) {
  try {
    const worker = new Worker("setTimeout(() => {}, 60000)", { eval: true, resourceLimits: limits });
    worker.on("error", (error) => (last = error));
  } catch (error) {
    last = error;
  }
}
setTimeout(() => {
  // Node has names of its own for a thread that could not be started.
  last ? stopped({ code: "EAGAIN" }) : finished();
  process.reallyExit(0);
}, 1500);
