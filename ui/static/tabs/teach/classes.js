// Step 1: the boxes of all classes, and what fills several of them at once.
import { html, useEffect, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { is_final } from "../../lib/api.js";
import { kept_here } from "../../lib/keep.js";
import { useStore } from "../../lib/store.js";
import { watch_nothing, watched } from "../../lib/teaching.js";
import { Button } from "../../parts/button.js";
import { Confirm } from "../../parts/dialog.js";
import { Choose } from "../../parts/intake.js";
import { Note, Rejected } from "../../parts/note.js";
import { ClassBox } from "./class_box.js";
import { change, past, selected, start_over, undo } from "./draft.js";
import { example } from "./example.js";
import { fill, told } from "./filling.js";
import { add_class, is_empty } from "./model.js";
import { Toolbar } from "./toolbar.js";

export function Classes({ draft }) {
  const t = useWords();
  const chosen = useStore(selected);
  const keeps = useStore(kept_here);
  const [asking, setAsking] = useState(false);
  return html`<section class="classes" aria-labelledby="saft-classes-title">
    <div class="row row-apart classes-head"><h2 id="saft-classes-title"><span class="step" aria-hidden="true">1</span>${t("teach.step_classes")}</h2><${Tools} draft=${draft} ask=${() => setAsking(true)} /></div>
    <${Told} />
    ${!keeps && !is_empty(draft) && html`<${Note}>${t("teach.not_kept")}<//>`}
    <div class="boxes">${draft.classes.map((one, place) => html`<${ClassBox} key=${one.id} one=${one} chosen=${chosen} is_last=${place === draft.classes.length - 1 || draft.classes.length === 2} />`)}</div>
    <div class="row"><${Button} class="button class-add" onClick=${() => change(add_class)}>${t("teach.add_class")}<//>
      <${Choose} kind="quiet" folder accept=${null} take=${(found) => fill(found)}>${t("teach.choose_folder")}<//>
      <${Choose} kind="quiet" accept=".zip,application/zip" multiple=${false} take=${(found) => fill(found)}>${t("teach.choose_zip")}<//></div>
    <p class="hint drop-hint">${t("teach.drop_hint")}</p>
    <${Toolbar} draft=${draft} chosen=${chosen} />
    ${asking && html`<${Confirm} title=${t("teach.start_over")} words=${t("teach.start_over_words")} yes=${t("teach.start_over")} work=${async () => clear()} onClose=${() => setAsking(false)} />`}
  </section>`;
}

// The boxes, what was said of them, and the result; what is being taught goes on.
function clear() {
  start_over();
  told.set([]);
  example.set(null);
  if (watched.get() && is_final(watched.get())) watch_nothing();
}

function Tools({ draft, ask }) {
  const t = useWords();
  const steps = useStore(past);
  return html`<div class="row">${steps.length > 0 && html`<${Button} kind="quiet" onClick=${undo} title=${t("teach.undo_keys")}>↶ ${t("teach.undo")}<//>`}
    ${(!is_empty(draft) || draft.source) && html`<${Button} kind="quiet" onClick=${ask}>${t("teach.start_over")}<//>`}</div>`;
}

function Told() {
  const notes = useStore(told);
  useEffect(() => () => told.set([]), []);
  return notes.map(({ kind, text, rejected }) => html`<${Note} key=${text} kind=${kind}><p>${rejected ? html`<${Rejected} files=${rejected} open=${false} />` : text}</p><//>`);
}
