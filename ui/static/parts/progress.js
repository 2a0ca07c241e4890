// How far something is: share 0..1, or null where nobody can tell.
import { html } from "../lib/preact.js";

export function Progress({ share, label }) {
  const known = share !== null && share !== undefined;
  const done = Math.min(1, Math.max(0, share ?? 0));
  return html`<div class="progress ${known ? "" : "progress-unknown"}" role="progressbar" aria-label=${label} aria-valuemin="0"
    aria-valuemax="100" aria-valuenow=${known ? Math.round(done * 100) : undefined}>
    <span style=${`transform: scaleX(${known ? done : 0.3})`}></span></div>`;
}
