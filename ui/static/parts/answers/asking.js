// Answers that follow the pictures and the question: asked anew whenever either changes, and never shown for another.
import { useEffect, useLayoutEffect, useReducer, useRef } from "../../lib/preact.js";
import { lost } from "../../lib/connection.js";
import { answers_to, base_key_of, key_of } from "./question.js";
import { sendable } from "./pictures.js";

const BATCH = 16; // pictures in a request: the first answers of many come soon
const SETTLE_MS = 250; // after a change that may be one of many, such as a letter
const BUSY_MS = 2000;

export const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => resolve(clearTimeout(timer)));
  });

// Whether to ask once more, after waiting for it: the service is away, or has too much to do.
export async function passes(error, signal) {
  if (error.code === "no_connection" || error.status === 502 || error.status === 503) {
    await lost();
    return true;
  }
  if (error.status !== 429) return false;
  await pause(BUSY_MS, signal);
  return true;
}

// A turn is one question: when the question changes its requests are aborted, and what still comes of them is dropped.
class Asking {
  constructor(tell) {
    Object.assign(this, { tell, answers: new Map(), pictures: [], turn: null });
  }

  look(pictures, question) {
    this.pictures = pictures;
    const there = new Set(pictures.map((picture) => picture.id));
    for (const id of this.answers.keys()) if (!there.has(id)) this.answers.delete(id);
    const key = question && key_of(question);
    if (key !== (this.turn?.key ?? null)) this.turn_to(question, key);
    else this.go_on();
  }

  turn_to(question, key) {
    const typing = this.turn?.question.adapter === question?.adapter && this.answers.size > 0;
    this.stop();
    if (!question) return;
    const turn = { key, question, controller: new AbortController(), running: false, error: null, stuck_on: null };
    turn.timer = setTimeout(() => {
      turn.timer = null;
      this.go_on();
    }, typing ? SETTLE_MS : 0);
    this.turn = turn;
  }

  // Pictures without an answer to the question. One that cannot be read has its answer to every question.
  open() {
    return this.pictures.filter(({ id }) => !this.is_fresh(this.answers.get(id), this.turn.key));
  }

  is_fresh = (answer, key) => Boolean(answer && (answer.main.error || answer.key === key));

  go_on() {
    const { turn } = this;
    if (!turn || turn.timer || turn.running) return;
    const open = this.open();
    const names = open.map(({ id }) => id).join();
    if (!open.length || names === turn.stuck_on) return; // what failed is not asked again until something changes
    turn.error = null;
    this.run(turn);
  }

  again() {
    if (this.turn) this.turn.stuck_on = null;
    this.go_on();
  }

  async run(turn) {
    turn.running = true;
    while (turn === this.turn && !turn.stuck_on && this.open().length) await this.batch(turn, this.open().slice(0, BATCH));
    turn.running = false;
    if (turn === this.turn) this.tell();
  }

  async batch(turn, pictures) {
    const { question, key, controller: { signal } } = turn;
    const base_key = base_key_of(question);
    const base_known = pictures.every(({ id }) => this.answers.get(id)?.base && this.answers.get(id).base_key === base_key);
    try {
      const files = await Promise.all(pictures.map(async ({ name, file }) => ({ name, content: await sendable(file) })));
      const answers = await answers_to(question, files, { signal, base_known });
      if (turn !== this.turn) return;
      turn.error = null;
      this.keep(pictures, answers, { key, base_key, base_known, labels: question.labels });
    } catch (error) {
      await this.failed(turn, error);
    }
    if (turn === this.turn) this.tell();
  }

  keep(pictures, answers, { base_known, ...asked }) {
    const there = new Set(this.pictures.map(({ id }) => id)); // some may have been removed meanwhile
    pictures.forEach(({ id }, place) => {
      const base = base_known ? this.answers.get(id)?.base : answers[place].base;
      if (there.has(id)) this.answers.set(id, { ...answers[place], ...asked, base: base ?? null });
    });
  }

  async failed(turn, error) {
    if (turn !== this.turn) return;
    turn.error = error;
    turn.stuck_on = this.open().map(({ id }) => id).join();
    this.tell();
    if (await passes(error, turn.controller.signal)) turn.stuck_on = null;
  }

  stop() {
    clearTimeout(this.turn?.timer);
    this.turn?.controller.abort();
    this.turn = null;
  }
}

// of(picture): {answer, fresh}; the answer to an earlier question is not fresh, and null is none. error: why there are no
// answers. waiting: whether some are still to come. again(): asks once more after an error.
export function useAnswers(pictures, question) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  const kept = useRef(null);
  kept.current ??= new Asking(redraw);
  const asking = kept.current;
  useLayoutEffect(() => asking.look(pictures, question));
  useEffect(() => () => asking.stop(), []);
  const key = question && key_of(question);
  const of = ({ id }) => {
    const answer = asking.answers.get(id) ?? null;
    return { answer, fresh: asking.is_fresh(answer, key) };
  };
  const error = asking.turn?.key === key ? (asking.turn?.error ?? null) : null;
  const done = pictures.filter((picture) => of(picture).fresh).length;
  return { of, error, done, waiting: Boolean(question) && !error && done < pictures.length, again: () => asking.again() };
}
