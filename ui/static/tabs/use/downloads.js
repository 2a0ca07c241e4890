// An adapter as a file: what was learnt alone, or the whole model for other tools.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { bytes, useWords } from "../../lib/i18n.js";
import { request } from "../../lib/api.js";
import { save } from "../../lib/save.js";
import { speak } from "../../lib/speak.js";
import { called } from "../../parts/adapter_select.js";
import { Button } from "../../parts/button.js";
import { Note, Problem } from "../../parts/note.js";
import { Progress } from "../../parts/progress.js";

const FILES = {
  delta: { path: (id) => `/adapters/${id}/delta`, ending: "saft" },
  onnx: { path: (id) => `/adapters/${id}/export?format=onnx`, ending: "onnx" },
  open_clip: { path: (id) => `/adapters/${id}/export?format=open_clip`, ending: "zip" },
};

const file_name = (adapter, ending) => `${called(adapter).replace(/[\\/:*?"<>|\p{Cc}]/gu, "_")}.${ending}`;

// The whole answer; `arrived` is told of each part. Large ones lie on the browser's disk, not in its memory.
async function read(answer, arrived) {
  const total = Number(answer.headers.get("content-length")) || null;
  const reader = answer.body.getReader();
  const parts = [];
  for (let size = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    parts.push(new Blob([value]));
    size += value.length;
    arrived(size, total);
  }
}

export function Downloads({ adapter }) {
  const t = useWords();
  if (!adapter) return html`<p class="hint">${t("use.no_download")}</p>`;
  return html`<ul class="use-files">${Object.keys(FILES).map((kind) => html`<${File} key=${kind} kind=${kind} adapter=${adapter} />`)}</ul>`;
}

function File({ kind, adapter }) {
  const t = useWords();
  const { now, done, error, start, stop } = useDownload(kind, adapter);
  return html`<li><div class="use-file"><div><h4>${t(`use.${kind}`)}</h4><p class="hint">${t(`use.${kind}_words`)}</p></div>
      ${now ? html`<${Button} onClick=${stop}>${t("use.stop")}<//>`
        : html`<${Button} id=${`saft-download-${kind}`} aria-label=${t("use.download_this", { what: t(`use.${kind}`) })} onClick=${start}>${t("use.download")}<//>`}</div>
    ${now && html`<p>${now.size ? t("use.arriving", { size: bytes(now.size) }) : t("use.making")}</p>
      <${Progress} share=${now.total ? now.size / now.total : null} label=${t(`use.${kind}`)} />`}
    ${done && html`<${Note} kind="good">${t("use.there", done)}<//>`}<${Problem} error=${error} /></li>`;
}

function useDownload(kind, adapter) {
  const t = useWords();
  const [state, setState] = useState({ of: null });
  const control = useRef(null);
  useEffect(() => () => control.current?.abort(), []);
  const start = async () => {
    const { signal } = (control.current = new AbortController());
    const tell = (next) => setState({ of: adapter.id, ...next });
    tell({ now: { size: 0, total: null } });
    try {
      const answer = await request("GET", FILES[kind].path(adapter.id), { signal });
      const blob = await read(answer, (size, total) => tell({ now: { size, total } }));
      const name = file_name(adapter, FILES[kind].ending);
      save(blob, name);
      tell({ done: { name, size: bytes(blob.size) } });
      speak(t("use.there", { name, size: bytes(blob.size) }));
    } catch (error) {
      tell({ error });
    }
  };
  const shown = state.now || state.of === adapter.id ? state : {};
  return { ...shown, start, stop: () => control.current?.abort() };
}
