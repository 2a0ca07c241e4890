// Pictures as thumbnails: of the service's images by its thumbnail endpoint, of files by the browser.
import { html, useState } from "../lib/preact.js";
import { url } from "../lib/api.js";

export const dataset_thumbnail = (dataset_id, position, size = 192) =>
  url(`/datasets/${dataset_id}/images/${position}/thumbnail?size=${size}`);
export const collection_thumbnail = (collection_id, image_id, size = 192) =>
  url(`/collections/${collection_id}/images/${image_id}/thumbnail?size=${size}`);

// One thumbnail; what cannot be shown is named instead. `alt` says what it is to those who cannot see it.
export function Thumbnail({ src, alt, name = alt, ...rest }) {
  const [failed, setFailed] = useState(null);
  if (!src || failed === src) return html`<span class="unseen" role="img" aria-label=${alt}>${name}</span>`;
  return html`<img src=${src} alt=${alt} loading="lazy" decoding="async" onError=${() => setFailed(src)} ...${rest} />`;
}
