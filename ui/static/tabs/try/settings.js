// What the pictures are asked with: the adapter, the labels, the prompt, the strength.
import { html } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";
import { choice_of, chosen } from "../../lib/chosen.js";
import { open_tab } from "../../lib/tabs.js";
import { BASE } from "../../parts/answers/question.js";
import { Button } from "../../parts/button.js";
import { Field, Select, Slider } from "../../parts/field.js";

const NAMED = 8; // classes that a hint names

export const NOTHING_SET = { labels: "", template: null, strength: null };

// What answers each name first, then the other versions, then the base.
function choices(t, adapters) {
  const named = (one) => (one.published ? one.name : t("try.version", { name: one.name, version: one.version }));
  const right = ({ metrics }) => (metrics?.accuracy === undefined || metrics.accuracy === null ? "" : ` · ${t("try.right", { share: percent(metrics.accuracy) })}`);
  const ordered = [...adapters.filter((one) => one.published), ...adapters.filter((one) => !one.published)];
  return [...ordered.map((one) => [choice_of(one), `${named(one)}${right(one)}`]), [BASE, t("try.base_not_adapted")]];
}

// set(change) gets what changes of {labels, template, strength}.
export function Settings({ adapters, adapter, settings, set }) {
  const t = useWords();
  return html`<section class="card stack try-settings" aria-labelledby="try-settings-title">
    <h3 id="try-settings-title">${t("try.settings")}</h3>
    <${Select} label=${t("try.adapter")} options=${choices(t, adapters)} value=${adapter ? choice_of(adapter) : BASE} onInput=${chosen.set} />
    ${!adapters.length && html`<p class="hint">${t("try.no_adapter")}</p><${Button} onClick=${() => open_tab("teach")}>${t("try.teach")}<//>`}
    <${Field} label=${t("try.labels")} hint=${labels_hint(t, adapter)} value=${settings.labels} onInput=${(labels) => set({ labels })}
      placeholder=${(adapter?.classes ?? []).slice(0, 3).join(", ") || t("try.labels_example")} autocomplete="off" />
    ${adapter && html`<${Strength} adapter=${adapter} settings=${settings} set=${set} />`}
    <details><summary>${t("try.prompt")}</summary><${Prompt} adapter=${adapter} settings=${settings} set=${set} /></details>
  </section>`;
}

function labels_hint(t, adapter) {
  const classes = adapter?.classes ?? [];
  if (!classes.length) return t("try.labels_base");
  const named = classes.slice(0, NAMED).join(", ");
  return t(classes.length > NAMED ? "try.labels_many" : "try.labels_own", { classes: named, count: classes.length });
}

function Strength({ adapter, settings, set }) {
  const t = useWords();
  const value = settings.strength ?? adapter.strength;
  const own = value === adapter.strength;
  const text = own ? t("try.strength_own", { share: percent(value) }) : percent(value);
  return html`<div><${Slider} label=${t("try.strength")} value=${value} text=${text} onInput=${(strength) => set({ strength })} />
    <small>${t("try.strength_words")}</small>
    ${!own && html`<${Button} kind="quiet" onClick=${() => set({ strength: null })}>${t("try.strength_reset", { share: percent(adapter.strength) })}<//>`}</div>`;
}

const lines_of = (template) => (Array.isArray(template) ? template.join("\n") : (template ?? ""));

function Prompt({ adapter, settings, set }) {
  const t = useWords();
  const own = lines_of(adapter?.template);
  const value = settings.template ?? own;
  return html`<div class="field"><label for="saft-try-template">${t("try.template")}</label>
    <textarea id="saft-try-template" rows="2" value=${value} placeholder=${t("try.template_example")} aria-describedby="saft-try-template-hint"
      onInput=${(event) => set({ template: event.target.value })}></textarea>
    <small id="saft-try-template-hint">${t("try.template_hint")}</small>
    ${settings.template !== null && settings.template !== own && html`<${Button} kind="quiet" onClick=${() => set({ template: null })}>${t("try.template_reset")}<//>`}</div>`;
}
