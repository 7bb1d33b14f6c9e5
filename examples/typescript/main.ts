/** What a cache of answers does, in a few lines: `npm start`, with a server at LLMCACHE_URL (redis://localhost:6379). */
import { setTimeout as sleep } from "node:timers/promises";

import { AnswerCache, type Options } from "./cache.js";

const gpt: Options = { model: "gpt-4o", tags: ["redis"], cost: 0.002 };
let calls = 0;

/** In the place of a model: slow, and counted. */
async function model(question: string): Promise<string> {
  calls += 1;
  await sleep(300);
  return `A careful answer to "${question}"`;
}

const cache = new AnswerCache(process.env.LLMCACHE_URL ?? "redis://localhost:6379", "example:typescript");
const isThere = await cache.connect();
if (isThere) await cache.invalidate("redis");

async function ask(question: string): Promise<void> {
  const options: Options = { ...gpt, similar: true };
  const started = performance.now();
  const { response, wasCached } = await cache.getOrCall(question, () => model(question), options);
  const took = (performance.now() - started).toFixed(1).padStart(6);
  console.log(`${took} ms  ${wasCached ? "cached" : "called"}  ${question}  →  ${response}`);
}

await ask("What is Redis?");
await ask("What is Redis?");
await ask("what's redis");

const started = performance.now();
const question = "How does Redis keep its data on disk?";
await Promise.all(
  Array.from({ length: 100 }, () => cache.getOrCall(question, () => model(question), gpt)),
);
console.log(`100 who asked at once had their answer after ${(performance.now() - started).toFixed(0)} ms`);

if (isThere) console.log(`${await cache.invalidate("redis")} answers are taken back`);
await ask("What is Redis?");

console.log(`${calls} calls of the model for 104 questions`);
if (isThere) {
  const { hits, cost_saved_usd: saved } = await cache.stats();
  console.log(`since this cache is there, ${hits} hits have saved $${saved}`);
}
await cache.close();
