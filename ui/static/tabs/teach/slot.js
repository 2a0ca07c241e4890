// Each tab of the browser has a draft of its own, in a slot: two tabs must not write over each other. The draft of a tab
// that was closed is taken on by the next one that is opened.
import { kept_values } from "../../lib/keep.js";
import { session } from "../../lib/session.js";
import { tab } from "../../lib/storage.js";
import { new_id } from "./model.js";

const FORMAT = 1; // of a kept draft; one of another format is not read
const HERE = "saft-draft"; // the slot of this tab, in sessionStorage: found again after a reload

// The name of a draft among the kept values.
export const name_of_slot = (slot) => `draft/${slot}`;

export const as_kept = (draft) => ({ format: FORMAT, saved: Date.now(), draft });

// {slot, draft}: the slot that this tab has from now on, and the draft that was kept in it, or null. Nothing where the
// browser does not say what it kept.
export async function take_slot() {
  const values = await kept_values();
  if (!values) return null;
  const kept = values.filter(([, value]) => value?.format === FORMAT).sort(([, one], [, other]) => other.saved - one.saved);
  const drafts = new Map(kept.map(([name, value]) => [name.slice(name_of_slot("").length), value.draft]));
  const own = tab.kept(`${HERE}-${session.get().tenant}`);
  for (const slot of own ? [own, ...drafts.keys()] : drafts.keys()) if (await is_free(slot)) return take(slot, drafts.get(slot) ?? null);
  const fresh = new_id();
  await is_free(fresh);
  return take(fresh, null);
}

function take(slot, draft) {
  remember(slot);
  return { slot, draft };
}

// Makes a slot this tab's own, as `take_slot` does with those that it finds.
export function stay_in(slot) {
  remember(slot);
  return is_free(slot);
}

const remember = (slot) => tab.keep(`${HERE}-${session.get().tenant}`, slot);

const held = new Set();

// Whether no other tab has the slot; from then on this one has it, until it is closed. Browsers lend locks to pages of
// https addresses and of this machine; elsewhere the slot is whoever's asks.
function is_free(slot) {
  const name = `saft-draft-${session.get().tenant}-${slot}`;
  if (held.has(name) || !navigator.locks) return true;
  return new Promise((resolve) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock) held.add(name);
      resolve(lock !== null);
      return lock && new Promise(() => {});
    });
  });
}
