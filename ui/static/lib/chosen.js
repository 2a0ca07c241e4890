// The adapter that the visitor is at: Try, Search and "Use it" open with it.
import { store } from "./store.js";
import { open_tab } from "./tabs.js";

// An adapter's id, "base", or null: then each tab takes the published version of the newest adapter.
export const chosen = store(null);

export function try_adapter(adapter_id) {
  chosen.set(adapter_id);
  open_tab("try");
}

export function use_adapter(adapter_id) {
  chosen.set(adapter_id);
  open_tab("use");
}

export function search_with(adapter_id) {
  chosen.set(adapter_id);
  open_tab("search");
}

// Of a list of versions, newest first, what a name answers with; the one that is chosen, if it is still there.
export function adapter_of(adapters, wanted) {
  return adapters.find((one) => one.id === wanted) ?? adapters.find((one) => one.published) ?? null;
}
