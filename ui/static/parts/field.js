// Fields of forms, each with its label.
import { html, useRef } from "../lib/preact.js";

let ids = 0;
const useId = () => useRef(`field-${(ids += 1)}`).current;

export function Field({ label, hint, value, onInput, type = "text", ...rest }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>
    <input id=${id} type=${type} value=${value} onInput=${(event) => onInput(event.target.value)}
      aria-describedby=${hint ? `${id}-hint` : undefined} ...${rest} />
    ${hint && html`<small id="${id}-hint">${hint}</small>`}</div>`;
}

// options: [[value, text]].
export function Select({ label, options, value, onInput, hint, ...rest }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onInput(event.target.value)}
      aria-describedby=${hint ? `${id}-hint` : undefined} ...${rest}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select>${hint && html`<small id="${id}-hint">${hint}</small>`}</div>`;
}

export function Check({ label, checked, onInput }) {
  return html`<label class="check"><input type="checkbox" checked=${checked}
    onChange=${(event) => onInput(event.target.checked)} /> <span>${label}</span></label>`;
}

// A slider from 0 to 1 in hundredths; `text` says its value in words.
export function Slider({ label, value, onInput, text, step = 0.01, min = 0, max = 1 }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label} <output for=${id}>${text}</output></label>
    <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value} aria-valuetext=${text}
      onInput=${(event) => onInput(Number(event.target.value))} /></div>`;
}
