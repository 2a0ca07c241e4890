// The pictures that a version tells wrongly: looked at, and put right. They are of the training and of the test dataset.
import { html, useMemo, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { useAll } from "../../lib/live.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../button.js";
import { Dialog } from "../dialog.js";
import { Field, Select } from "../field.js";
import { Label } from "../label.js";
import { Problem } from "../note.js";
import { Thumbnail, dataset_thumbnail } from "../picture.js";
import { Changes, change, key_of, useChanges } from "./changes.js";

const FILTERED = 6; // mistakes, from which filters are a help
const AT_ONCE = 60; // pictures that are drawn; more on demand
const ALL = { split: "", label: "", prediction: "" };

// A label as it reads: datasets that are tested on may write a class in another way (`hot dog`, `Hot_Dog`).
const read = (label) => label.normalize("NFKC").replace(/^(0\d*[\s._)-]+|\d+[.)]\s*)/, "").replace(/[\s_-]+/g, "").toLowerCase();

const fits = (mistake, { split, label, prediction }) =>
  (!split || mistake.split === split) && (!label || read(mistake.label) === read(label)) && (!prediction || mistake.prediction === prediction);

// filter: {split, label, prediction} of one cell of the matrix, or nothing: all, to be filtered here.
export function Mistakes({ adapter, job, filter, onClose, onTaught }) {
  const t = useWords();
  const { state, value, error } = useAll(`/adapters/${adapter.id}/mistakes`);
  const [chosen, setChosen] = useState(ALL);
  const found = useMemo(() => (value ?? []).filter((one) => fits(one, filter ?? chosen)), [value, filter, chosen]);
  const close = () => {
    onClose();
    onTaught();
  };
  const title = filter ? t("result.mistakes.of", { label: filter.label, said: filter.prediction }) : t("result.mistakes.all");
  return html`<${Dialog} title=${title} onClose=${onClose} wide>
    ${!filter && value?.length >= FILTERED && html`<${Filters} mistakes=${value} chosen=${chosen} setChosen=${setChosen} />`}
    ${state === "reading" && !value && html`<p role="status">${t("result.reading")}</p>`}
    <${Problem} error=${error} />
    ${value && !found.length && html`<p class="hint">${t(value.length ? "result.mistakes.none_so" : "result.mistakes.none")}</p>`}
    ${found.length > 0 && html`<${Pictures} key=${JSON.stringify(chosen)} adapter=${adapter} found=${found} labels=${labels_of(adapter, value)} />`}
    <${Changes} adapter=${adapter} job=${job} onTaught=${close} />
  <//>`;
}

const labels_of = (adapter, mistakes) => {
  const own = new Set(adapter.classes.map(read));
  return [...adapter.classes, ...new Set(mistakes.map(({ label }) => label).filter((label) => !own.has(read(label))))];
};

function Filters({ mistakes, chosen, setChosen }) {
  const t = useWords();
  const values = (name) => [...new Set(mistakes.map((one) => one[name]))].sort();
  const choice = (name, words = (value) => value) => html`<${Select} label=${t(`result.filter.${name}`)} value=${chosen[name]}
    options=${[["", t("result.filter.any")], ...values(name).map((value) => [value, words(value)])]} onInput=${(value) => setChosen({ ...chosen, [name]: value })} />`;
  return html`<div class="filters">${choice("split", (split) => t(`result.split.${split}`))}${choice("label")}${choice("prediction")}</div>`;
}

function Pictures({ adapter, found, labels }) {
  const t = useWords();
  const [picked, setPicked] = useState(() => new Set());
  const [shown, setShown] = useState(AT_ONCE);
  const changes = useChanges(adapter.id);
  const toggle = (key) => setPicked((before) => (before.has(key) ? new Set([...before].filter((one) => one !== key)) : new Set([...before, key])));
  const pictures = found.filter((one) => picked.has(key_of(one)));
  const put = (to) => {
    change(adapter.id, pictures, to);
    setPicked(new Set());
    speak(t("result.noted", { count: pictures.length }));
  };
  const every = picked.size === found.length;
  return html`<div class="row row-apart"><p role="status">${t("result.picked", { count: pictures.length, all: found.length })}</p>
      <${Button} kind="quiet" onClick=${() => setPicked(new Set(every ? [] : found.map(key_of)))}>${t(every ? "result.pick_none" : "result.pick_all")}<//></div>
    <ul class="pictures picks">${found.slice(0, shown).map((one) => html`<${Pick} key=${key_of(one)} picture=${one} picked=${picked.has(key_of(one))}
      to=${changes.find((other) => key_of(other) === key_of(one))?.to} onToggle=${() => toggle(key_of(one))} />`)}</ul>
    ${found.length > shown && html`<${Button} onClick=${() => setShown(shown + AT_ONCE)}>${t("result.more", { count: found.length - shown })}<//>`}
    <${Actions} labels=${labels} said=${(pictures[0] ?? found[0]).prediction} none=${!pictures.length} put=${put} />`;
}

// `to`: where it is to be moved, null if out, undefined if nothing is to happen.
function Pick({ picture, picked, to, onToggle }) {
  const t = useWords();
  const { dataset_id, position, path, label, prediction, split } = picture;
  const words = t("result.mistake", { path, label, said: prediction });
  return html`<li><label class="pick"><input type="checkbox" checked=${picked} onChange=${onToggle} />
    <${Thumbnail} src=${dataset_thumbnail(dataset_id, position)} alt=${words} name=${path} />
    <span class="pick-words" aria-hidden="true"><${Label} text=${label} /> <b>→ <${Label} text=${prediction} /></b></span>
    <span class="tag tag-plain">${t(`result.split.${split}`)}</span>
    ${to !== undefined && html`<span class="tag">${to === null ? t("result.out") : t("result.to", { to })}</span>`}</label></li>`;
}

const NEW = " new"; // no class is called so: names have no blanks around them

// said: the class that the adapter takes them for, which is most often the right one.
function Actions({ labels, said, none, put }) {
  const t = useWords();
  const [wanted, setTo] = useState(null);
  const to = wanted ?? labels.find((label) => read(label) === read(said)) ?? labels[0];
  const [name, setName] = useState("");
  const target = to === NEW ? name.trim() : to;
  const move = () => {
    put(target);
    setTo(null);
  };
  return html`<div class="actions"><${Select} label=${t("result.move")} value=${to} onInput=${setTo} options=${[...labels.map((label) => [label, label]), [NEW, t("result.new_class")]]} />
    ${to === NEW && html`<${Field} label=${t("result.new_class.name")} value=${name} onInput=${setName} />`}
    <${Button} disabled=${none || !target} onClick=${move}>${t("result.move.do")}<//>
    <${Button} disabled=${none} onClick=${() => put(null)}>${t("result.remove")}<//></div>`;
}
