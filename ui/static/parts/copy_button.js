// Copies a text, and says for a moment whether that went well.
import { html, useState } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { copy } from "../lib/clipboard.js";
import { speak } from "../lib/speak.js";
import { Button } from "./button.js";

const COPIED_MS = 2500;

// shown: the ref of the element that shows it, which is selected where it cannot be copied.
export function CopyButton({ text, shown, ...rest }) {
  const t = useWords();
  const [copied, setCopied] = useState(null);
  const run = async () => {
    const told = await copy(text, shown.current).then(() => "use.copied", () => "use.not_copied");
    speak(t(told));
    setCopied({ text, told });
    setTimeout(() => setCopied(null), COPIED_MS);
  };
  return html`<${Button} ...${rest} onClick=${run}>${copied?.text === text ? t(copied.told) : t("use.copy")}<//>`;
}
