// Two versions on the same pictures, told in words.
import { html, useRef, useState } from "../../lib/preact.js";
import { ago, useWords } from "../../lib/i18n.js";
import { get } from "../../lib/api.js";
import { useAll } from "../../lib/live.js";
import { WorkButton } from "../../parts/button.js";
import { Select } from "../../parts/field.js";
import { Note, Problem } from "../../parts/note.js";

export function Compare({ versions }) {
  const t = useWords();
  const [pair, setPair] = useState([versions[0].id, versions[1].id]);
  const [dataset, setDataset] = useState("");
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const turn = useRef(0);
  const datasets = useAll("/datasets").value ?? [];
  const [one, other] = pair.map((id, place) => versions.find((version) => version.id === id) ?? versions[place]);
  // What was said is about what was asked: another choice takes it away, also while an answer is on its way.
  const choose = (set) => (value) => {
    turn.current += 1;
    setTold(null);
    setError(null);
    set(value);
  };
  const compare = async () => {
    const mine = (turn.current += 1);
    const on = dataset ? `&dataset_id=${dataset}` : "";
    const answer = await get(`/adapters/${one.id}/compare?with=${other.id}${on}`);
    if (mine === turn.current) setTold({ ...answer, version: one.version, other: other.version });
  };
  const options = versions.map(({ id, version }) => [id, t("adapters.version", { version })]);
  return html`<details class="compare"><summary>${t("adapters.compare")}</summary><div class="stack">
    <div class="filters"><${Select} label=${t("adapters.compare.one")} value=${one.id} options=${options} onInput=${choose((id) => setPair([id, other.id]))} />
      <${Select} label=${t("adapters.compare.with")} value=${other.id} options=${options} onInput=${choose((id) => setPair([one.id, id]))} />
      <${Select} label=${t("adapters.compare.on")} value=${dataset} onInput=${choose(setDataset)}
        options=${[["", t("adapters.compare.own")], ...datasets.map(({ id, name, created_at }) => [id, `${name}, ${ago(created_at)}`])]} /></div>
    <div class="row"><${WorkButton} work=${compare} onError=${setError} disabled=${one.id === other.id}>${t("adapters.compare.do")}<//></div>
    <${Problem} error=${error} />${told && html`<${Told} told=${told} />`}</div></details>`;
}

function Told({ told }) {
  const t = useWords();
  const { images, right, with_right, agreement, verdict, version, other } = told;
  if (!images) return html`<${Note} kind="warn">${t("adapters.compare.nothing")}<//>`;
  const counts = { version, other, right, other_right: with_right, count: images, same: Math.round(agreement * images) };
  const luck = verdict === "no_better" && right !== with_right ? "adapters.compare.luck" : `adapters.compare.${right === with_right ? "same" : verdict}`;
  return html`<${Note} kind=${verdict === "better" ? "good" : "info"}><p><strong>${t(luck, counts)}</strong></p><p>${t("adapters.compare.counts", counts)}</p><//>`;
}
