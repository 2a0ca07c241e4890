// A class' name, which may be broken after its underscores.
import { html } from "../lib/preact.js";

export const Label = ({ text }) => text.split(/(?<=[_/-])/).map((part, place) => html`${place > 0 && html`<wbr />`}${part}`);
