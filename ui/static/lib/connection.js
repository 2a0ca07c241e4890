// Whether the service answers. What fails because it does not is tried again when it is back; a banner says so.
import { store } from "./store.js";
import { page_url } from "./session.js";

const LOOK_MS = 1000;

export const away = store(false);
const waiting = [];

// To be called when a request got no answer, or one that says "not now"; resolves when the service is back.
export function lost() {
  if (!away.get()) {
    away.set(true);
    look();
  }
  return new Promise((resolve) => waiting.push(resolve));
}

async function look() {
  while (away.get()) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    try {
      const answer = await fetch(page_url("readyz"), { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (answer.ok) back();
    } catch {
      // still away
    }
  }
}

function back() {
  away.set(false);
  for (const resolve of waiting.splice(0)) resolve();
}
