// Code to copy: coloured by one expression, scrolled within its box.
import { html, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../../parts/button.js";

const COPIED_MS = 2500;
const QUOTED = { curl: /"(?:[^"\\]|\\[^])*"|'[^']*'/, other: /"(?:[^"\\\n]|\\.)*"/ };
const KEYWORDS = {
  curl: "curl|echo|export|sed|date|base64",
  python: "import|for|in|print|async|await|def|with|as",
  javascript: "const|let|async|await|function|for|of|while|if|throw|new|return|import",
};

// [kind, text] pieces: kind is "comment", "string", "keyword" or "".
export function coloured(code, language) {
  const quoted = (QUOTED[language] ?? QUOTED.other).source;
  const comment = language === "javascript" ? "(?<=^|\\s)//.*" : "(?<=^|\\s)#.*";
  const expression = new RegExp(`(?<comment>${comment})|(?<string>${quoted})|(?<keyword>\\b(?:${KEYWORDS[language]})\\b)`, "gm");
  const pieces = [];
  let end = 0;
  for (const match of code.matchAll(expression)) {
    pieces.push(["", code.slice(end, match.index)]);
    pieces.push([Object.entries(match.groups).find(([, text]) => text !== undefined)[0], match[0]]);
    end = match.index + match[0].length;
  }
  return [...pieces, ["", code.slice(end)]].filter(([, text]) => text);
}

// Browsers lend the clipboard only to https addresses and this machine; elsewhere the old way does it.
async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(shown);
    if (!document.execCommand("copy")) throw new Error("no clipboard");
  }
}

export function Code({ code, language, label }) {
  const t = useWords();
  const shown = useRef();
  const [copied, setCopied] = useState(null);
  const run = async () => {
    const told = await copy(code, shown.current).then(() => "use.copied", () => "use.not_copied");
    speak(t(told));
    setCopied({ code, told });
    setTimeout(() => setCopied(null), COPIED_MS);
  };
  return html`<div class="code"><pre tabindex="0" role="region" aria-label=${label} id="saft-code"><code ref=${shown}>${coloured(code, language).map(
      ([kind, text]) => (kind ? html`<span class="code-${kind}">${text}</span>` : text))}</code></pre>
    <${Button} id="saft-copy" onClick=${run}>${copied?.code === code ? t(copied.told) : t("use.copy")}<//></div>`;
}
