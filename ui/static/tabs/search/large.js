// One picture large, with what is known of it.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { remove, url } from "../../lib/api.js";
import { changed } from "../../lib/live.js";
import { Button } from "../../parts/button.js";
import { Confirm, Dialog } from "../../parts/dialog.js";
import { Thumbnail } from "../../parts/picture.js";
import { thumbnail } from "./answer.js";
import { Closeness } from "./results.js";

const written = (value) => (Array.isArray(value) ? value.join(", ") : String(value));

export function Large({ place, match, steps, onLike, onClose }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const facts = Object.entries(match.metadata ?? {});
  const name = match.filename;
  const take_out = async () => {
    await remove(`/collections/${place.id}/images/${match.image_id}`);
    changed("/collections", "/usage");
    onClose();
  };
  return html`<${Dialog} title=${name} onClose=${onClose} wide>
    <${Whole} place=${place} match=${match} />
    ${steps && html`<p><${Closeness} score=${match.score} steps=${steps} /></p>`}
    ${facts.length > 0 && html`<dl class="search-facts">${facts.map(([key, value]) => html`<div key=${key}><dt>${key === "label" && place.kind === "dataset" ? t("search.class") : key}</dt><dd>${written(value)}</dd></div>`)}</dl>`}
    <div class="row row-end">${place.kind === "collection" && html`<${Button} kind="quiet" onClick=${() => setAsking(true)}>${t("search.take_out")}<//>`}
      <${Button} kind="primary" onClick=${() => onLike(match)}>${t("search.like")}<//></div>
    ${asking && html`<${Confirm} title=${t("search.take_out_this", { name })} words=${t("search.take_out_words")} yes=${t("search.take_out")}
      work=${take_out} onClose=${() => setAsking(false)} />`}
  <//>`;
}

// The file itself; what the browser cannot show (HEIC, TIFF) as its largest thumbnail.
function Whole({ place, match }) {
  const [unseen, setUnseen] = useState(false);
  const whole = url(`/${place.kind}s/${place.id}/images/${match.image_id}`);
  if (unseen) return html`<div class="search-large"><${Thumbnail} src=${thumbnail(place, match.image_id, 512)} alt=${match.filename} /></div>`;
  return html`<div class="search-large"><img src=${whole} alt=${match.filename} onError=${() => setUnseen(true)} /></div>`;
}
