// The pictures that were found, the closest first; without a question, those that there are.
import { html, useEffect, useState } from "../../lib/preact.js";
import { number, useWords } from "../../lib/i18n.js";
import { is_touch } from "../../lib/device.js";
import { get } from "../../lib/api.js";
import { speak } from "../../lib/speak.js";
import { Button, WorkButton } from "../../parts/button.js";
import { Check, Slider } from "../../parts/field.js";
import { Problem } from "../../parts/note.js";
import { Thumbnail } from "../../parts/picture.js";
import { thumbnail } from "./answer.js";
import { WORDS, level } from "./closeness.js";

const WAITING = [...Array(12).keys()];

// `score` in words, with the number for those who want it; `steps` are those of its answer.
export function Closeness({ score, steps }) {
  const t = useWords();
  const found = level(score, steps);
  const title = t("search.score", { score: number(score, { maximumFractionDigits: 3 }) });
  return html`<span class="closeness" title=${title} data-level=${found}><span class="closeness-bar" aria-hidden="true">${WORDS.map(
    (word, index) => html`<i key=${word} class=${index <= found ? "on" : ""}></i>`)}</span> ${t(`search.${WORDS[found]}`)}</span>`;
}

export function Tile({ place, match, steps, onOpen, onLike }) {
  const t = useWords();
  const name = match.filename;
  return html`<li class="search-tile"><button type="button" class="search-open" onClick=${() => onOpen(match)}
      aria-label=${t("search.open", { name })}><${Thumbnail} src=${thumbnail(place, match.image_id, 320)} alt="" name=${name} /></button>
    <button type="button" class="search-like" title=${t("search.like")} aria-label=${t("search.like_this", { name })} onClick=${() => onLike(match)}>
      <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="10.5" cy="10.5" r="7"/><path d="m15.8 15.8 5 5M7.3 9.2c2-1.5 4.2 1.5 6.4 0M7.3 12.4c2-1.5 4.2 1.5 6.4 0"/></svg></button>
    ${steps && html`<${Closeness} score=${match.score} steps=${steps} />`}</li>`;
}

export function Found({ place, answer, more, floor, onFloor, distinct, onDistinct, onOpen, onLike }) {
  const t = useWords();
  const count = answer?.matches.length;
  const headline = answer && !answer.error && t(answer.next ? "search.found_more" : "search.found", { count });
  useEffect(() => {
    if (headline) speak(headline);
  }, [headline, answer]);
  const least = floor === 0 ? t("search.all") : t("search.at_least", { word: t(`search.${WORDS[Math.floor(floor)]}`) });
  return html`<section class="stack" aria-labelledby="saft-found">
    <div class="search-tools"><h3 id="saft-found">${headline || (answer ? t("search.failed") : t("search.asking"))}</h3>
      <${Slider} label=${t("search.floor")} min=${0} max=${3} step=${0.25} value=${floor} text=${least} onInput=${onFloor} />
      <${Check} label=${t("search.distinct")} checked=${distinct} onInput=${onDistinct} /></div>
    ${answer?.error && html`<${Problem} error=${answer.error} />`}
    ${answer && !answer.error && !count && html`<div class="empty"><p>${t(floor ? "search.none_close" : "search.none")}</p>
      ${floor > 0 && html`<${Button} onClick=${() => onFloor(0)}>${t("search.show_all")}<//>`}</div>`}
    <ul class="search-grid" aria-busy=${!answer}>${answer
      ? answer.matches.map((match) => html`<${Tile} key=${match.image_id} ...${{ place, match, steps: answer.steps, onOpen, onLike }} />`)
      : WAITING.map((index) => html`<li key=${`w${index}`} class="search-tile search-waiting"></li>`)}</ul>
    ${answer?.next && html`<${More} key=${answer.key} work=${more} />`}
  </section>`;
}

function More({ work }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const run = () => (setError(null), work());
  return html`<${Problem} error=${error} /><div class="row"><${WorkButton} work=${run} onError=${setError}>${t("search.more")}<//></div>`;
}

// Before anything is asked: the place's own pictures, to look for others like one of them.
export function Browse({ place, onOpen, onLike }) {
  const t = useWords();
  const [held, setHeld] = useState({ key: null });
  const key = `${place.key} ${place.count}`;
  const read = async (cursor) => get(`/${place.kind}s/${place.id}/images?limit=24${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  useEffect(() => {
    let gone = false;
    read(null).then(
      ({ items, next_cursor }) => gone || setHeld({ key, items, next: next_cursor }),
      (error) => gone || setHeld({ key, items: [], next: null, error }),
    );
    return () => (gone = true);
  }, [key]);
  const shown = held.key === key ? held : null;
  const more = async () => {
    const { items, next_cursor } = await read(shown.next);
    setHeld((now) => (now === shown ? { ...shown, items: [...shown.items, ...items], next: next_cursor } : now));
  };
  return html`<section class="stack" aria-labelledby="saft-browse"><h3 id="saft-browse">${t("search.browse", { name: place.name, count: place.count })}</h3>
    <p class="hint">${t(is_touch() ? "search.browse_hint_touch" : "search.browse_hint")}</p><${Problem} error=${shown?.error} />
    <ul class="search-grid">${(shown?.items ?? []).map((image) => {
      const match = as_match(image);
      return html`<${Tile} key=${match.image_id} ...${{ place, match, onOpen, onLike }} />`;
    })}</ul>
    ${shown?.next && html`<${More} key=${key} work=${more} />`}</section>`;
}

// An image of a list as a search gives it.
const as_match = (image) =>
  image.position === undefined
    ? { image_id: image.id, filename: image.filename, metadata: image.metadata }
    : { image_id: String(image.position), filename: image.path, metadata: { label: image.label } };
