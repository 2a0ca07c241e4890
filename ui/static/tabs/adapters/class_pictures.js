// The pictures of a dataset, one class at a time, however many there are.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { get } from "../../lib/api.js";
import { Button } from "../../parts/button.js";
import { Dialog } from "../../parts/dialog.js";
import { Select } from "../../parts/field.js";
import { Problem } from "../../parts/note.js";
import { Thumbnail, dataset_thumbnail } from "../../parts/picture.js";

const A_PAGE = 60;

// The position of a class' first picture: pictures lie class by class, in the order of the classes.
export const begins = (classes, place) => classes.slice(0, place).reduce((sum, { count }) => sum + count, 0);

export function ClassPictures({ dataset, onClose }) {
  const t = useWords();
  const { classes } = dataset;
  const [place, setPlace] = useState(0);
  return html`<${Dialog} title=${dataset.name} onClose=${onClose} wide>
    <${Select} label=${t("datasets.class")} value=${String(place)} onInput=${(value) => setPlace(Number(value))}
      options=${classes.map(({ name, count }, at) => [String(at), t("datasets.class.count", { name, count })])} />
    <${OneClass} key=${place} dataset=${dataset} place=${place} /><//>`;
}

function OneClass({ dataset, place }) {
  const t = useWords();
  const { name, count } = dataset.classes[place];
  const [images, setImages] = useState([]);
  const [error, setError] = useState(null);
  const [wanted, setWanted] = useState(A_PAGE);
  const gone = useRef(new AbortController()).current;
  useEffect(() => () => gone.abort(), []);
  useEffect(() => {
    const start = begins(dataset.classes, place) + images.length;
    const limit = Math.min(wanted, count) - images.length;
    if (limit <= 0) return;
    get(`/datasets/${dataset.id}/images?limit=${limit}${start ? `&cursor=${start - 1}` : ""}`, { signal: gone.signal })
      .then(({ items }) => setImages([...images, ...items.filter(({ label }) => label === name)]))
      .catch(setError);
  }, [wanted]);
  return html`<${Problem} error=${error} />
    <ul class="pictures">${images.map(({ position, path }) => html`<li key=${position}><${Thumbnail} src=${dataset_thumbnail(dataset.id, position)} alt=${path} /></li>`)}</ul>
    ${images.length < count && !error && html`<div class="row row-apart"><p class="hint" role="status">${t("datasets.shown", { count: images.length, all: count })}</p>
      ${images.length > 0 && html`<${Button} onClick=${() => setWanted(images.length + A_PAGE)}>${t("datasets.more", { count: count - images.length })}<//>`}</div>`}`;
}
