// bullmq_worker.js PORT CONCURRENCY - a worker process.  What its jobs note is what tests/bench/scripts/lib/notes.lua does.
const fs = require("node:fs");
const { Worker } = require("bullmq");

const [port, concurrency] = process.argv.slice(2).map(Number);
const notes = fs.openSync(`${process.env.SKEIN_BENCH_DIR}/notes`, "a");
const add = (name, ms) => fs.writeSync(notes, `${name}\t${ms / 1000}\n`);
const now = () => performance.timeOrigin + performance.now();

const handlers = {
  noop() {},
  mark(data) { add("mark", now() - data.asked); },
  late(data) { add("late", now() - data.due); },
};

const worker = new Worker("bench", async (job) => handlers[job.name](job.data), {
  connection: { host: "127.0.0.1", port, maxRetriesPerRequest: null },
  concurrency,
  removeOnComplete: { count: 0 },
});
worker.on("error", (err) => console.error(err));
process.on("SIGTERM", () => worker.close().then(() => process.exit(0)));
