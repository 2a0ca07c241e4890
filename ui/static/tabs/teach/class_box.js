// A class: its name, its pictures, and the ways of putting more into it.
import { html, useState } from "../../lib/preact.js";
import { number, useWords } from "../../lib/i18n.js";
import { has_camera } from "../../lib/camera.js";
import { Button } from "../../parts/button.js";
import { Choose, useDrop } from "../../parts/intake.js";
import { Rejected } from "../../parts/note.js";
import { Camera } from "./camera.js";
import { change } from "./draft.js";
import { fill } from "./filling.js";
import { label_of, move_pictures, remove_class, remove_pictures, rename_class } from "./model.js";
import { DRAGGED, Tile } from "./tile.js";

const FIRST = 24; // shown of each class
const MORE = 300; // that come with each "show more"

// is_last: an empty one that is always there, so that it cannot be removed.
export function ClassBox({ one, chosen, is_last }) {
  const t = useWords();
  const [camera, setCamera] = useState(false);
  const label = label_of(one);
  const moved = (ids) => change((now) => move_pictures(now, new Set(JSON.parse(ids)), one.id));
  const drop = useDrop((found) => fill(found, one.id), { kind: DRAGGED, take: moved });
  return html`<section class="card class-box ${drop.over ? "drop-over" : ""}" aria-label=${label} data-class=${label} ...${drop.handlers}>
    <${Head} one=${one} label=${label} can_go=${one.pictures.length > 0 || !is_last} />
    <${Pictures} one=${one} label=${label} chosen=${chosen} />
    ${!one.pictures.length && html`<p class="hint class-invite">${t("teach.invite")}</p>`}
    <div class="row class-ways">
      <${Choose} take=${(found) => fill(found, one.id)} aria-label=${t("teach.choose_for", { name: label })}>${t("teach.choose")}<//>
      ${has_camera() && html`<${Button} onClick=${() => setCamera(true)} aria-label=${t("teach.camera_for", { name: label })}>${t("teach.camera")}<//>`}
    </div>
    ${camera && html`<${Camera} class_id=${one.id} label=${label} onClose=${() => setCamera(false)} />`}
  </section>`;
}

function Head({ one, label, can_go }) {
  const t = useWords();
  const refused = one.pictures.filter((picture) => picture.rejected);
  const drop = () => change((now) => remove_pictures(now, new Set(refused.map((picture) => picture.id))));
  return html`<div class="class-head">
      <input class="class-name" aria-label=${t("teach.class_name", { number: one.number })} placeholder=${t("teach.class", { number: one.number })} value=${one.name} maxlength="100"
        onInput=${(event) => change((now) => rename_class(now, one.id, event.target.value), `name-${one.id}`)} autocomplete="off" />
      <span class="class-count"><span aria-hidden="true">${number(one.pictures.length)}</span><span class="heard">${t("teach.count", { count: one.pictures.length })}</span></span>
      ${can_go && html`<${Button} kind="quiet" class="button button-quiet class-gone" aria-label=${t("teach.remove_class", { name: label })} title=${t("teach.remove_class", { name: label })}
        onClick=${() => change((now) => remove_class(now, one.id))}>×<//>`}
    </div>
    ${refused.length > 0 && html`<div class="class-refused"><${Rejected} open=${false} files=${refused.map((picture) => ({ path: picture.name, reason: picture.rejected }))} />
      <${Button} kind="quiet" onClick=${drop}>${t("teach.remove_refused")}<//></div>`}`;
}

function Pictures({ one, label, chosen }) {
  const t = useWords();
  const [most, setMost] = useState(FIRST);
  const [at, setAt] = useState(null);
  const shown = one.pictures.slice(0, most);
  const current = shown.some((picture) => picture.id === at) ? at : shown[0]?.id;
  const left = one.pictures.length - shown.length;
  if (!shown.length) return null;
  return html`<div class="tiles" role="group" aria-label=${t("teach.pictures_of", { name: label })} onKeyDown=${walk}>
      ${shown.map((picture) => html`<${Tile} key=${picture.id} picture=${picture} label=${label} is_selected=${chosen.has(picture.id)}
        tabindex=${picture.id === current ? 0 : -1} onFocus=${() => setAt(picture.id)} />`)}</div>
    ${left > 0 && html`<${Button} kind="quiet" class="button button-quiet class-more" onClick=${() => setMost(most + MORE)}>
      ${left <= MORE ? t("teach.show_all", { count: one.pictures.length }) : t("teach.show_more", { count: MORE, left })}<//>`}
    ${most > FIRST && html`<${Button} kind="quiet" class="button button-quiet class-more" onClick=${() => setMost(FIRST)}>${t("teach.show_fewer")}<//>`}`;
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

// Arrows go from picture to picture, so that the tab key leads past them all.
function walk(event) {
  const tiles = [...event.currentTarget.children];
  const here = tiles.indexOf(document.activeElement);
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const step = STEPS[event.key] * (event.key === "ArrowUp" || event.key === "ArrowDown" ? columns : 1);
  const next = { Home: 0, End: tiles.length - 1 }[event.key] ?? here + step;
  if (!tiles[next]) return;
  event.preventDefault();
  tiles[next].focus();
}
