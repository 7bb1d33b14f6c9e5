import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { AnswerCache } from "./cache.js";

const gpt = { model: "gpt-4o" };
const cache = new AnswerCache(process.env.LLMCACHE_URL ?? "redis://localhost:6379", `test:typescript:${process.pid}`);

before(async () => assert.ok(await cache.connect(), "there is no server"));
after(async () => {
  await cache.invalidate("all");
  await cache.close();
});

/** A call that is counted, slow enough for others to come meanwhile. */
function counted(answer: string) {
  const call = async (): Promise<string> => {
    call.count += 1;
    await sleep(50);
    return answer;
  };
  call.count = 0;
  return call;
}

test("a second question is a hit, in another model or scope it is not", async () => {
  const call = counted("A store. ☃");
  const tags = ["all"];
  assert.deepEqual(await cache.getOrCall("What is Redis?", call, { ...gpt, tags }), { response: "A store. ☃", wasCached: false });
  assert.deepEqual(await cache.getOrCall("What is Redis?", call, { ...gpt, tags }), { response: "A store. ☃", wasCached: true });
  assert.equal(call.count, 1);
  assert.equal((await cache.getOrCall("What is Redis?", call, { model: "other", tags })).wasCached, false);
  assert.equal((await cache.getOrCall("What is Redis?", call, { ...gpt, scope: "tenant", tags })).wasCached, false);
});

test("a question that means the same is a hit where that is asked for, another number is not", async () => {
  const call = counted("4");
  await cache.getOrCall("What is 2+2?", call, { ...gpt, tags: ["all"] });
  assert.equal((await cache.getOrCall("what's 2+2", call, { ...gpt, similar: true })).wasCached, true);
  assert.equal((await cache.getOrCall("What is 2+3?", call, { ...gpt, similar: true, tags: ["all"] })).wasCached, false);
});

test("a hundred who ask at once make one call, also of several questions", async () => {
  const calls = [counted("a"), counted("b")];
  const asked = Array.from({ length: 200 }, (_, number) =>
    cache.getOrCall(`Question ${number % 2}`, calls[number % 2]!, { ...gpt, tags: ["all"] }),
  );
  const told = await Promise.all(asked);
  assert.deepEqual(calls.map((call) => call.count), [1, 1]);
  assert.equal(told.filter((result) => !result.wasCached).length, 2);
  assert.ok(told.every((result, number) => result.response === "ab"[number % 2]));
});

test("when a call fails its caller is told, and the next one calls", async () => {
  const failing = cache.getOrCall("Who fails?", () => sleep(50).then(() => Promise.reject(new Error("no"))), gpt);
  await sleep(10);
  const next = cache.getOrCall("Who fails?", counted("nobody"), { ...gpt, tags: ["all"] });
  await assert.rejects(failing, /^Error: no$/);
  assert.deepEqual(await next, { response: "nobody", wasCached: false });
});

test("what has a tag is taken back by it, what is not is counted as saved", async () => {
  const call = counted("x");
  await cache.getOrCall("Tagged?", call, { ...gpt, tags: ["page:1", "all"] });
  await cache.getOrCall("Tagged too?", call, { ...gpt, tags: ["page:2", "all"], cost: 0.25 });
  assert.equal(await cache.invalidate("page:1"), 1);
  assert.equal((await cache.getOrCall("Tagged?", call, { ...gpt, tags: ["all"] })).wasCached, false);
  const { cost_saved_usd: before } = await cache.stats();
  assert.equal((await cache.getOrCall("Tagged too?", call, gpt)).wasCached, true);
  assert.equal(Number((await cache.stats()).cost_saved_usd) - Number(before), 0.25);
});

test("an answer lives as long as is said", async () => {
  const call = counted("x");
  await cache.getOrCall("How long?", call, { ...gpt, ttl: 1 });
  assert.equal((await cache.getOrCall("How long?", call, { ...gpt, ttl: 1 })).wasCached, true);
  const deadline = Date.now() + 10_000;
  while ((await cache.getOrCall("How long?", call, { ...gpt, ttl: 1 })).wasCached) {
    assert.ok(Date.now() < deadline, "it never ends");
    await sleep(50);
  }
});

test("without a server the model answers", async () => {
  const away = new AnswerCache("redis://127.0.0.1:1", "nowhere");
  assert.equal(await away.connect(), false);
  assert.deepEqual(await away.getOrCall("Anybody?", counted("the model"), gpt), { response: "the model", wasCached: false });
  await away.close();
});
