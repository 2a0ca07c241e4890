// Names and settings: nothing of it has to be touched. What is left empty is the base's own, told by the placeholders.
import { html } from "../../lib/preact.js";
import { number, useWords } from "../../lib/i18n.js";
import { useAll, useOne } from "../../lib/live.js";
import { Field, Select } from "../../parts/field.js";
import { change } from "./draft.js";
import { name_of, set_fields } from "./model.js";

const NUMBERS = [
  { name: "epochs", min: 1, step: 1 },
  { name: "learning_rate", min: 0, step: "any" },
  { name: "batch_size", min: 1, step: 1 },
  { name: "density", min: 0, step: "any" },
  { name: "seed", min: 0, step: 1 },
];
const CHOICES = { augment: ["none", "crop", "crop_flip"], encoders: ["both", "image", "text"] };

const put = (fields, join) => change((now) => set_fields(now, fields), join);
const put_setting = (name, value) => change((now) => set_fields(now, { settings: { ...now.settings, [name]: value } }), `setting-${name}`);

export function Settings({ draft, name }) {
  const t = useWords();
  return html`<details class="settings"><summary>${t("teach.settings")}</summary><div class="stack">
    <${Field} label=${t("teach.adapter_name")} hint=${t("teach.adapter_hint")} placeholder=${name} maxlength="200" autocomplete="off"
      value=${draft.adapter_name} onInput=${(value) => put({ adapter_name: value }, "adapter-name")} />
    <${Field} label=${t("teach.dataset_name")} placeholder=${name_of(draft)} maxlength="200" autocomplete="off"
      value=${draft.dataset_name} onInput=${(value) => put({ dataset_name: value }, "dataset-name")} />
    <${TestDataset} draft=${draft} />
    <${Numbers} settings=${draft.settings} />
  </div></details>`;
}

function TestDataset({ draft }) {
  const t = useWords();
  const datasets = useAll("/datasets").value ?? [];
  const others = datasets.filter((one) => one.id !== draft.source?.id);
  const options = [["", t("teach.no_test")], ...others.map((one) => [one.id, t("teach.dataset", { name: one.name, count: one.image_count })])];
  return html`<${Select} label=${t("teach.test")} hint=${t("teach.test_hint")} options=${options} value=${draft.test_dataset_id} onInput=${(value) => put({ test_dataset_id: value })} />`;
}

function Numbers({ settings }) {
  const t = useWords();
  const defaults = useOne("/base").value?.training_defaults ?? {};
  const shown = (value) => (typeof value === "number" ? number(value, { maximumSignificantDigits: 6, useGrouping: false }) : String(value ?? ""));
  const template = Array.isArray(defaults.template) ? defaults.template[0] : defaults.template;
  const own = (name) => [["", t("teach.as_base", { value: t(`teach.${name}.${defaults[name] ?? CHOICES[name][0]}`) })], ...CHOICES[name].map((value) => [value, t(`teach.${name}.${value}`)])];
  return html`${NUMBERS.map(({ name, ...rest }) => html`<${Field} key=${name} label=${t(`teach.set.${name}`)} hint=${t(`teach.hint.${name}`)} type="number" inputmode="decimal" ...${rest}
      placeholder=${shown(defaults[name] ?? (name === "seed" ? 0 : ""))} value=${settings[name] ?? ""} onInput=${(value) => put_setting(name, value)} />`)}
    <${Field} label=${t("teach.set.template")} hint=${t("teach.hint.template")} placeholder=${shown(template)} value=${settings.template ?? ""} onInput=${(value) => put_setting("template", value)} />
    ${Object.keys(CHOICES).map((name) => html`<${Select} key=${name} label=${t(`teach.set.${name}`)} options=${own(name)} value=${settings[name] ?? ""} onInput=${(value) => put_setting(name, value)} />`)}`;
}
