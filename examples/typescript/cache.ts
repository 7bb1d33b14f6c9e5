/** An answer cache over LLMCACHE's commands. They are sent as they are: nothing but the redis package is needed. */
import { setTimeout as sleep } from "node:timers/promises";

import { createClient, createClientPool } from "redis";

/** What an answer depends on besides the question, and how long it is kept. */
export interface Options {
  model: string;
  scope?: string;
  tags?: string[];
  /** Seconds; without, the cache decides by what the question is about. */
  ttl?: number;
  /** What the call costs, in dollars: what each hit saves. */
  cost?: number;
  /** Also answers of questions that mean the same. */
  similar?: boolean;
}

export interface Result {
  response: string;
  wasCached: boolean;
}

/** FETCH's reply: a map, which RESP3 has, and which the client hands over as an object. */
interface Fetched {
  state: "hit" | "stale" | "lease" | "wait" | "timeout" | "failed";
  response?: string;
  token?: string;
}

const LEASE_MS = 60_000;
const BLOCK_MS = 30_000;
const PATIENCE_MS = 2_000;

export class AnswerCache {
  readonly #name: string;
  readonly #commands;
  /** FETCH may block its connection until somebody has the answer, so those who ask have connections of their own:
   *  behind them in one queue, the answer they wait for would not get through. */
  readonly #questions;
  #hasWarned = false;

  constructor(url: string, name: string) {
    this.#name = name;
    const options = { url, RESP: 3, disableOfflineQueue: true } as const;
    this.#commands = createClient(options);
    this.#questions = createClientPool(options, { minimum: 1, maximum: 50 });
    for (const client of [this.#commands, this.#questions]) {
      // Each attempt to reach a server that is away fails anew: once is enough.
      client.on("error", (error: unknown) => this.#warn(error));
    }
    this.#commands.on("ready", () => (this.#hasWarned = false));
  }

  /** Connects; a server that is away is not waited for, and found when it comes. Whether it is there. */
  async connect(): Promise<boolean> {
    const connected = Promise.all([this.#commands.connect(), this.#questions.connect()]);
    connected.catch(() => {});
    await Promise.race([connected, sleep(PATIENCE_MS, undefined, { ref: false })]);
    return this.#commands.isReady;
  }

  async close(): Promise<void> {
    if (this.#commands.isReady) {
      await Promise.all([this.#commands.close(), this.#questions.close()]);
    } else {
      this.#commands.destroy();
      this.#questions.destroy();
    }
  }

  /** The cached answer, or the call's, which is kept. However many ask at once, one calls, and the others get what it got. */
  async getOrCall(question: string, call: () => Promise<string>, options: Options): Promise<Result> {
    const fetched = await this.#fetch(question, options);
    if (fetched.response !== undefined && fetched.token === undefined) {
      return { response: fetched.response, wasCached: true };
    }
    const started = performance.now();
    try {
      const response = await call();
      await this.#store(question, response, options, performance.now() - started, fetched.token);
      return { response, wasCached: false };
    } catch (error) {
      // The next in line tries.
      if (fetched.token !== undefined) await this.#try(["LLMCACHE.RELEASE", this.#name, fetched.token]);
      throw error;
    }
  }

  /** Removes the answers with any of these tags; how many there were. */
  async invalidate(...tags: string[]): Promise<number> {
    return Number(await this.#commands.sendCommand(["LLMCACHE.INVALIDATE", this.#name, "TAG", String(tags.length), ...tags]));
  }

  async stats(): Promise<Record<string, unknown>> {
    return (await this.#commands.sendCommand(["LLMCACHE.STATS", this.#name])) as unknown as Record<string, unknown>;
  }

  async #fetch(question: string, options: Options): Promise<Fetched> {
    // The pool would have everybody wait for a server that is away.
    if (!this.#commands.isReady) return { state: "timeout" };
    const command = ["LLMCACHE.FETCH", this.#name, question, ...context(options)];
    if (options.similar) command.push("SIMILAR");
    command.push("LEASE", String(LEASE_MS), "BLOCK", String(BLOCK_MS));
    try {
      return (await this.#questions.sendCommand(command)) as unknown as Fetched;
    } catch (error) {
      // A cache that is away costs time and money, not answers.
      this.#warn(error);
      return { state: "timeout" };
    }
  }

  async #store(question: string, response: string, options: Options, latency: number, token?: string): Promise<void> {
    const command = ["LLMCACHE.SET", this.#name, question, response, ...context(options)];
    // With its token an answer is kept only while the right to make it holds.
    if (token !== undefined) command.push("TOKEN", token);
    if (options.tags?.length) command.push("TAGS", String(options.tags.length), ...options.tags);
    if (options.ttl !== undefined) command.push("EX", String(options.ttl));
    if (options.cost !== undefined) command.push("COST", options.cost.toFixed(6));
    command.push("LATENCY", String(Math.round(latency)));
    await this.#try(command);
  }

  async #try(command: string[]): Promise<void> {
    try {
      await this.#commands.sendCommand(command);
    } catch (error) {
      this.#warn(error);
    }
  }

  #warn(error: unknown): void {
    if (!this.#hasWarned) console.warn(`llmcache: ${String(error)}`);
    this.#hasWarned = true;
  }
}

function context(options: Options): string[] {
  return ["MODEL", options.model, ...(options.scope === undefined ? [] : ["SCOPE", options.scope])];
}
