// What the service has, as last read: shared by all parts of the page, read anew when something changed it.
import { all, get } from "./api.js";
import { useEffect, useReducer } from "./preact.js";
import { session } from "./session.js";
import { store, useStore } from "./store.js";

const held = new Map();
session.listen(() => held.clear()); // nothing of one visitor is left for the next

// state: "reading", "there" or "failed". value: the last one read, which stays while it is read again.
function resource(path, read) {
  if (!held.has(path)) {
    const shared = store({ state: "reading", value: undefined, error: null });
    held.set(path, { shared, read, asked: 0 });
    refresh(path);
  }
  return held.get(path).shared;
}

async function refresh(path) {
  const entry = held.get(path);
  const turn = (entry.asked += 1);
  try {
    const value = await entry.read(path);
    if (turn === entry.asked) entry.shared.set({ state: "there", value, error: null });
  } catch (error) {
    if (turn === entry.asked) entry.shared.set((before) => ({ ...before, state: "failed", error }));
  }
}

// One thing: useOne("/adapters/ad_1"). A null path gives nothing.
export const useOne = (path) => useResource(path, (wanted) => get(wanted));

// A whole list: useAll("/datasets").
export const useAll = (path) => useResource(path, (wanted) => all(wanted));

const NOTHING = store({ state: "there", value: undefined, error: null });

function useResource(path, read) {
  return useStore(path === null ? NOTHING : resource(path, read));
}

// Reads again all that is held of paths that begin so: changed("/adapters") after one was published.
export function changed(...prefixes) {
  for (const path of held.keys()) if (prefixes.some((prefix) => path.startsWith(prefix))) refresh(path);
}

// What another tab of the browser, or a script, has done meanwhile is seen when the visitor comes back to this one.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && session.get().state === "in") changed("/");
});

// Draws a component and what is in it anew once a minute, for the times in it ("5 minutes ago").
export function useMinutes() {
  const [, redraw] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(redraw, 60_000);
    return () => clearInterval(timer);
  }, []);
}
