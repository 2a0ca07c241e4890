// What the pictures are asked with: the adapter, the labels, the prompt, the strength.
import { html } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";
import { useMedia } from "../../lib/device.js";
import { choice_of, chosen } from "../../lib/chosen.js";
import { open_tab } from "../../lib/tabs.js";
import { BASE, labels_of, typed_labels } from "../../parts/answers/question.js";
import { Button } from "../../parts/button.js";
import { EnglishHint } from "../../parts/english.js";
import { Field, Select, Slider } from "../../parts/field.js";
import { Label } from "../../parts/label.js";

const LONG = 26; // letters, of which the list shows but some
const SHOWN = 12; // labels that are chosen from, as a list

export const NARROW = "(max-width: 900px)"; // one column, the settings last
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
  const typed = labels_of(settings.labels);
  const asked = typed.length ? typed : (adapter?.classes ?? []);
  const narrow = useMedia(NARROW);
  const options = choices(t, adapters);
  const value = adapter ? choice_of(adapter) : BASE;
  const [, whole] = options.find(([key]) => key === value);
  const title = html`<h3 id="try-settings-title">${t("try.settings")}</h3>`;
  const fields = html`<${Select} label=${t("try.adapter")} options=${options} value=${value} onInput=${chosen.set} hint=${whole.length > LONG && whole} />
    ${!adapters.length && html`<p class="hint">${t("try.no_adapter")}</p><${Button} onClick=${() => open_tab("teach")}>${t("try.teach")}<//>`}
    <${Field} label=${t("try.labels")} hint=${labels_hint(t, adapter)} value=${settings.labels} onInput=${(labels) => set({ labels })}
      placeholder=${typed_labels((adapter?.classes ?? []).slice(0, 3)) || t("try.labels_example")} autocomplete="off" />
    <${Asked} labels=${asked} /><${EnglishHint} />
    ${adapter && html`<${Strength} adapter=${adapter} settings=${settings} set=${set} />`}
    <details><summary>${t("try.prompt")}</summary><${Prompt} adapter=${adapter} settings=${settings} set=${set} /></details>`;
  if (narrow) return html`<details class="card try-settings" open=${!adapter} aria-labelledby="try-settings-title"><summary>${title}</summary><div class="stack">${fields}</div></details>`;
  return html`<section class="card stack try-settings" aria-labelledby="try-settings-title">${title}${fields}</section>`;
}

function labels_hint(t, adapter) {
  const classes = adapter?.classes ?? [];
  if (!classes.length) return t("try.labels_base");
  const words = t("try.labels_own", { count: classes.length });
  return classes.some((label) => label.includes(",")) ? `${words} ${t("try.labels_comma")}` : words;
}

// What is chosen from, each label by itself: what stands between two commas is not always one.
function Asked({ labels }) {
  const t = useWords();
  if (!labels.length) return null;
  const chip = (label) => html`<li key=${label}><${Label} text=${label} /></li>`;
  return html`<div><ul class="classes-of try-asked" aria-label=${t("try.asked")}>${labels.slice(0, SHOWN).map(chip)}</ul>
    ${labels.length > SHOWN && html`<details><summary>${t("try.more_labels", { count: labels.length - SHOWN })}</summary><ul class="classes-of">${labels.slice(SHOWN).map(chip)}</ul></details>`}</div>`;
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
