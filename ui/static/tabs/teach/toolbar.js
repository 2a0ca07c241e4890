// What can be done with the pictures that are selected: to another class, away, or nothing.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../../parts/button.js";
import { Dialog } from "../../parts/dialog.js";
import { change, selected } from "./draft.js";
import { label_of, move_pictures, remove_pictures } from "./model.js";

export function remove_selected(t) {
  const chosen = selected.get();
  change((now) => remove_pictures(now, chosen));
  speak(t("teach.removed", { count: chosen.size }));
}

export function Toolbar({ draft, chosen }) {
  const t = useWords();
  const [moving, setMoving] = useState(false);
  const count = chosen.size;
  const done = (how, words) => {
    change(how);
    selected.set(new Set());
    setMoving(false);
    speak(words);
  };
  const move = (one) => done((now) => move_pictures(now, chosen, one.id), t("teach.moved", { count, name: label_of(one) }));
  if (!count) return null;
  const is_elsewhere = (one) => one.pictures.filter(({ id }) => chosen.has(id)).length < count;
  return html`<div class="toolbar" role="group" aria-label=${t("teach.toolbar")}>
    <strong>${t("teach.selected", { count })}</strong>
    <${Button} onClick=${() => setMoving(true)}>${t("teach.move")}<//>
    <${Button} onClick=${() => remove_selected(t)}>${t("teach.remove")}<//>
    <${Button} kind="quiet" onClick=${() => selected.set(new Set())}>${t("teach.unselect")}<//>
    ${moving && html`<${Dialog} title=${t("teach.move_title", { count })} onClose=${() => setMoving(false)}>
      <div class="stack">${draft.classes.filter(is_elsewhere).map((one) => html`<${Button} key=${one.id} onClick=${() => move(one)}>${label_of(one)}<//>`)}</div><//>`}
  </div>`;
}
