// What was taught: adapters with their versions, and the data sets that they were taught with.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { useAll, useMinutes } from "../../lib/live.js";
import { open_tab } from "../../lib/tabs.js";
import { Button } from "../../parts/button.js";
import { Problem } from "../../parts/note.js";
import { Result } from "../../parts/result/result.js";
import { AdapterCard } from "./adapter_card.js";
import { Datasets } from "./datasets.js";

export function Adapters() {
  useMinutes();
  const [opened, setOpened] = useState(null);
  const { value, error, state } = useAll("/adapters");
  const version = value?.find((one) => one.id === opened);
  if (version) return html`<${Opened} version=${version} onBack=${() => setOpened(null)} />`;
  return html`<div class="adapters"><${Taught} adapters=${value} state=${state} error=${error} onOpen=${setOpened} /><${Datasets} /></div>`;
}

function Taught({ adapters, state, error, onOpen }) {
  const t = useWords();
  const names = [...new Set((adapters ?? []).map(({ name }) => name))];
  return html`<section class="stack" aria-labelledby="saft-adapters-title"><h2 id="saft-adapters-title">${t("adapters.title")}</h2>
    <${Problem} error=${error} />
    ${state === "reading" && !adapters && html`<p role="status">${t("adapters.reading")}</p>`}
    ${adapters && !names.length && html`<${Nothing} />`}
    ${names.map((name) => html`<${AdapterCard} key=${name} name=${name} versions=${adapters.filter((one) => one.name === name)} onOpen=${onOpen} />`)}</section>`;
}

function Nothing() {
  const t = useWords();
  return html`<div class="empty"><h3>${t("adapters.none")}</h3><p>${t("adapters.none.words")}</p>
    <${Button} kind="primary" onClick=${() => open_tab("teach")}>${t("adapters.none.teach")}<//></div>`;
}

function Opened({ version, onBack }) {
  const t = useWords();
  const title = useRef();
  useEffect(() => {
    title.current.focus();
    title.current.scrollIntoView({ block: "nearest" });
  }, [version.id]);
  return html`<div class="stack"><div class="row"><${Button} onClick=${onBack}>← ${t("adapters.back")}<//></div>
    <h2 tabindex="-1" ref=${title}>${t("adapters.result_of", { name: version.name, version: version.version })}</h2>
    <${Result} adapter=${version} onTaught=${onBack} /></div>`;
}
