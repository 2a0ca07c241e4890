// The adapter that the visitor is at: Try, Search and "Use it" open with it.
import { store } from "./store.js";
import { open_tab } from "./tabs.js";

// A name ("name:Birds"), which is whatever version answers it; the id of a version that was chosen on purpose; "base"; or
// null: then each tab takes the published version of the newest adapter.
export const chosen = store(null);

export const by_name = (name) => `name:${name}`;

// How an adapter is chosen: the version that answers its name by the name, so that a roll back moves the choice too.
export const choice_of = ({ id, name, published }) => (published ? by_name(name) : id);

function open_with(adapter, tab) {
  chosen.set(choice_of(adapter));
  open_tab(tab);
}

export const try_adapter = (adapter) => open_with(adapter, "try");
export const use_adapter = (adapter) => open_with(adapter, "use");
export const search_with = (adapter) => open_with(adapter, "search");

// After another version of a name was published: a choice of any of them is a choice of the name again.
export const follow_published = (name, versions) =>
  chosen.set((now) => (versions.some(({ id }) => id === now) ? by_name(name) : now));

// Of a list of versions, newest first, the one that is chosen, if it is still there; else what a name answers with.
export function adapter_of(adapters, wanted) {
  const named = adapters.filter(({ name }) => by_name(name) === wanted);
  return adapters.find(({ id }) => id === wanted) ?? named.find((one) => one.published) ?? named[0] ?? adapters.find((one) => one.published) ?? null;
}
