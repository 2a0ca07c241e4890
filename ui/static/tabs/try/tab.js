import { html } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";

export function Try() {
  const t = useWords();
  return html`<h2>${t("tab.try")}</h2>`;
}
