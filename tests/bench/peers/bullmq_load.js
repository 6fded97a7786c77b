// bullmq_load.js PORT seed N | drained N | trips | late - what is asked of BullMQ while it is measured; as tests/bench/scripts/lib/load.lua.
const { Queue } = require("bullmq");
const { setTimeout: sleep } = require("node:timers/promises");

const PADDING = "x".repeat(136);
const TRIPS = 200, TRIP_PAUSE_MS = 10;
const LATE = 600, LATE_PER_S = 200, LATE_AHEAD_MS = 500;
const now = () => performance.timeOrigin + performance.now();

// Waits until a condition holds; the time of that, in seconds.
async function reached(condition, timeoutS = 300) {
  for (const start = performance.now(); performance.now() - start < timeoutS * 1000; await sleep(2)) {
    if (await condition()) return performance.now() / 1000;
  }
  throw new Error(`waited ${timeoutS} s in vain`);
}

const verbs = {
  async seed(queue, n) {
    for (let i = 0; i < n; ) {
      const batch = [];
      while (batch.length < 1000 && i < n) batch.push({ name: "noop", data: { number: ++i, padding: PADDING } });
      await queue.addBulk(batch);
    }
  },
  async drained(queue, n) { // prints the seconds from the first job taken to the last
    const start = await reached(async () => (await queue.getWaitingCount()) < n);
    const end = await reached(async () => (await queue.getWaitingCount()) + (await queue.getActiveCount()) === 0);
    console.log(end - start);
  },
  async trips(queue) {
    for (let i = 0; i < TRIPS; i++) {
      await queue.add("mark", { asked: now() });
      await sleep(TRIP_PAUSE_MS);
    }
  },
  async late(queue) {
    const first = now() + LATE_AHEAD_MS;
    const batch = [];
    for (let i = 1; i <= LATE; i++) {
      const due = Math.round(first + (i * 1000) / LATE_PER_S);
      batch.push({ name: "late", data: { due }, opts: { delay: due - Math.round(now()) } });
    }
    await queue.addBulk(batch);
  },
};

const [port, verb, n] = process.argv.slice(2);
const queue = new Queue("bench", {
  connection: { host: "127.0.0.1", port: Number(port) },
  defaultJobOptions: { removeOnComplete: true },
});
verbs[verb](queue, Number(n)).then(() => queue.close());
