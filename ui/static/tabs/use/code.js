// Code to copy: coloured by one expression, scrolled within its box.
import { html, useRef } from "../../lib/preact.js";
import { CopyButton } from "../../parts/copy_button.js";

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

export function Code({ code, language, label }) {
  const shown = useRef();
  return html`<div class="code"><pre tabindex="0" role="region" aria-label=${label} id="saft-code"><code ref=${shown}>${coloured(code, language).map(
      ([kind, text]) => (kind ? html`<span class="code-${kind}">${text}</span>` : text))}</code></pre>
    <${CopyButton} id="saft-copy" text=${code} shown=${shown} /></div>`;
}
