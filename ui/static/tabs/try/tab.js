// Try: pictures and the camera, answered anew with every change of what is asked.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { is_touch } from "../../lib/device.js";
import { has_camera } from "../../lib/camera.js";
import { adapter_of, chosen } from "../../lib/chosen.js";
import { useAll } from "../../lib/live.js";
import { speak } from "../../lib/speak.js";
import { useStore } from "../../lib/store.js";
import { open_tab } from "../../lib/tabs.js";
import { useAnswers } from "../../parts/answers/asking.js";
import { Choose, useDrop, usePaste } from "../../parts/intake.js";
import { LeftOut } from "../../parts/answers/left_out.js";
import { Live } from "../../parts/answers/live.js";
import { MOST, usePictures } from "../../parts/answers/pictures.js";
import { BASE, question_of } from "../../parts/answers/question.js";
import { Samples } from "../../parts/answers/samples.js";
import { Button } from "../../parts/button.js";
import { Note, Problem } from "../../parts/note.js";
import { as_csv, download } from "./csv.js";
import { Counts, Done, Grid, kind_of } from "./grid.js";
import { NARROW, NOTHING_SET, Settings } from "./settings.js";
import { Stage } from "./stage.js";

const find_adapter = (adapters, wanted) => (wanted === BASE ? null : (adapter_of(adapters, wanted) ?? adapters[0] ?? null));

// Each adapter has a strength of its own; labels and prompts stay when another is chosen.
const of_adapter = (settings, adapter) => (settings.of === adapter?.id ? settings : { ...settings, of: adapter?.id, strength: null });

export function Try() {
  const t = useWords();
  const place = useRef();
  const list = useAll("/adapters");
  const adapter = find_adapter(list.value ?? [], useStore(chosen));
  const [kept, setKept] = useState(NOTHING_SET);
  const settings = of_adapter(kept, adapter);
  const held = usePictures();
  const [selected, setSelected] = useState(null);
  const [camera, setCamera] = useState(false);
  const question = list.value ? question_of(adapter, settings) : null;
  const answers = useAnswers(held.pictures, question);
  const take = (found) => {
    const [first] = held.add(found);
    if (first) setSelected(first.id);
    return first;
  };
  const set = (change) => setKept((now) => ({ ...of_adapter(now, adapter), ...change }));
  const look_at = (id) => {
    setSelected(id);
    setCamera(false);
    requestAnimationFrame(() => document.getElementById("saft-try-stage")?.scrollIntoView({ block: matchMedia(NARROW).matches ? "start" : "nearest" }));
  };
  const shown = (found) => take(found) && setCamera(false);
  const drop = useDrop(shown);
  usePaste(place, shown);
  const name = adapter ? adapter.name : t("try.base");
  const picture = held.pictures.find(({ id }) => id === selected) ?? held.pictures[0];
  return html`<section class="try ${drop.over ? "drop-over" : ""}" ref=${place} aria-label=${t("tab.try")} ...${drop.handlers}>
    <div class="stack try-main"><h2 class="heard">${t("try.title")}</h2>
      <${Problem} error=${list.error} />
      <${Refused} held=${held} />
      ${camera && html`<div class="card"><${Live} question=${question} name=${name} take=${take} onClose=${() => setCamera(false)} /></div>`}
      ${!camera && !picture && html`<${Empty} take=${shown} adapter=${adapter} known=${Boolean(list.value)} onCamera=${() => setCamera(true)} />`}
      ${!camera && picture && html`<div class="card"><${Stage} picture=${picture} answers=${answers} question=${question} name=${name} onRemove=${() => held.remove(picture.id)} /></div>`}
      ${picture && html`<${Tools} held=${held} answers=${answers} question=${question} take=${shown} onCamera=${camera ? null : () => setCamera(true)} />`}
    </div>
    ${held.pictures.length > (camera ? 0 : 1) && html`<${Many} held=${held} answers=${answers} selected=${camera ? null : picture.id} onSelect=${look_at} />`}
    <${Settings} adapters=${list.value ?? []} adapter=${adapter} settings=${settings} set=${set} />
  </section>`;
}

function Empty({ take, adapter, known, onCamera }) {
  const t = useWords();
  return html`<div class="try-empty"><div class="try-frame" aria-hidden="true"></div>
    <h3>${t("try.invite")}</h3><p>${t(is_touch() ? "try.invite_words_touch" : "try.invite_words", { count: MOST })}</p>
    <div class="row"><${Choose} kind="primary" take=${take}>${t("try.choose")}<//><${Camera} onCamera=${onCamera} /></div>
    <${Samples} adapter=${adapter} take=${take} />
    ${known && !adapter && html`<p>${t("try.teach_first")} <${Button} kind="quiet" onClick=${() => open_tab("teach")}>${t("try.teach_first_do")}<//></p>`}</div>`;
}

function Camera({ onCamera }) {
  const t = useWords();
  if (!has_camera()) return html`<small>${t("try.camera.no_https")}</small>`;
  return html`<${Button} onClick=${onCamera}>${t("try.use_camera")}<//>`;
}

// Files that were not taken, in words.
function Refused({ held }) {
  const t = useWords();
  return html`${held.over > 0 && html`<${Note} kind="warn">${t("try.over", { count: held.over, most: MOST })}<//>`}
    <${LeftOut} names=${held.left_out} />`;
}

// What there is to do with the pictures, and how far their answers are.
function Tools({ held, answers, question, take, onCamera }) {
  const t = useWords();
  const { pictures } = held;
  const ready = Boolean(question) && answers.done === pictures.length;
  useEffect(() => ready && pictures.length > 1 && speak(t("try.all_done", { count: pictures.length })), [ready, pictures.length]);
  const save = () => {
    const entries = pictures.map((picture) => ({ name: picture.name, answer: answers.of(picture).answer }));
    download("answers.csv", as_csv(entries, question.labels));
  };
  return html`<div class="row"><${Choose} kind="primary" take=${take}>${t("try.add")}<//>
      ${onCamera && html`<${Camera} onCamera=${onCamera} />`}
      <${Button} disabled=${!ready} onClick=${save}>${t("try.download")}<//>
      ${pictures.length > 1 && html`<${Button} kind="quiet" onClick=${held.clear}>${t("try.remove_all")}<//>`}</div>
    ${answers.error && answers.done > 0 && html`<${Problem} error=${answers.error} /><${Button} onClick=${answers.again}>${t("try.again")}<//>`}
    ${answers.waiting && pictures.length > 1 && html`<${Done} done=${answers.done} count=${pictures.length} />`}`;
}

// Each of several pictures, or those of one kind.
function Many({ held: { pictures, remove }, answers, selected, onSelect }) {
  const [wanted, setWanted] = useState(null);
  const kinds = pictures.map((picture) => kind_of(answers.of(picture)));
  const filter = kinds.includes(wanted) ? wanted : null; // what is asked anew may show it no more
  const shown = pictures.filter((_, place) => !filter || kinds[place] === filter);
  return html`<div class="stack try-many"><${Counts} kinds=${kinds} wanted=${filter} onWanted=${setWanted} />
    <${Grid} pictures=${shown} of=${answers.of} selected=${selected} onSelect=${onSelect} onRemove=${remove} /></div>`;
}
