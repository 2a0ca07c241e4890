// One picture of a class: a click selects it, and it can be dragged to another class.
import { html, useRef } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { selected } from "./draft.js";
import { useThumbnail } from "./thumbnails.js";

export const DRAGGED = "application/x-saft-pictures";

export const toggle = (id) =>
  selected.set((ids) => {
    const next = new Set(ids);
    if (!next.delete(id)) next.add(id);
    return next;
  });

export function Tile({ picture, label, is_selected, tabindex, onFocus }) {
  const t = useWords();
  const place = useRef();
  const src = useThumbnail(place, picture);
  const drag = (event) => {
    const ids = selected.get().has(picture.id) ? [...selected.get()] : [picture.id];
    event.dataTransfer.setData(DRAGGED, JSON.stringify(ids));
    event.dataTransfer.effectAllowed = "move";
  };
  const name = picture.rejected ? t("teach.tile_refused", { name: picture.name, label, reason: picture.rejected }) : t("teach.tile", { name: picture.name, label });
  return html`<button type="button" ref=${place} class="tile ${picture.rejected ? "tile-refused" : ""}" aria-pressed=${is_selected} aria-label=${name} title=${picture.rejected ?? picture.name}
    tabindex=${tabindex} onFocus=${onFocus} onClick=${() => toggle(picture.id)} draggable="true" onDragStart=${drag}>
    ${src ? html`<img src=${src} alt="" loading="lazy" decoding="async" draggable=${false} />` : html`<span class="unseen" aria-hidden="true">${src === "" ? picture.name : ""}</span>`}
    ${picture.rejected && html`<span class="tile-mark" aria-hidden="true">!</span>`}
    ${is_selected && html`<span class="tile-check" aria-hidden="true">✓</span>`}
  </button>`;
}
