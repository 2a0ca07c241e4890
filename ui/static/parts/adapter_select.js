// Which adapter answers: one choice for all tabs that open with it (lib/chosen.js).
import { html } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { adapter_of, choice_of, chosen } from "../lib/chosen.js";
import { useAll } from "../lib/live.js";
import { useStore } from "../lib/store.js";
import { Select } from "./field.js";

// What it is asked for by: its name, or while another version answers that, name@version.
export const called = (adapter) => (adapter.published ? adapter.name : `${adapter.name}@${adapter.version}`);

// {ready, adapters, adapter, id}: adapter is null and id "base" where the base itself answers.
export function useAdapter() {
  const list = useAll("/adapters");
  const wanted = useStore(chosen);
  const adapters = list.value ?? [];
  const adapter = wanted === "base" ? null : adapter_of(adapters, wanted);
  return { ready: list.value !== undefined || list.state === "failed", adapters, adapter, id: adapter?.id ?? "base" };
}

export function AdapterSelect({ label, ...rest }) {
  const t = useWords();
  const { adapters, adapter } = useAdapter();
  const options = adapters.map((one) => [choice_of(one), called(one)]);
  return html`<${Select} label=${label} options=${[...options, ["base", t("adapter.base")]]} value=${adapter ? choice_of(adapter) : "base"} onInput=${chosen.set} ...${rest} />`;
}
